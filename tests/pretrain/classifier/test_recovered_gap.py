"""The share of a gap that weak labels recover."""

import math

import pytest

from tokensieve.pretrain.classifier.weak_to_strong import recovered_gap


def test_the_share_of_the_gap():
    found = recovered_gap("auroc", weak=0.7, weak_to_strong=0.85, strong=0.9)
    assert found.value == pytest.approx(0.75)
    assert (found.metric, found.reason) == ("auroc", None)


@pytest.mark.parametrize("strong", [0.7, 0.6])
def test_a_gap_that_is_not_positive_has_no_share(strong):
    found = recovered_gap("auroc", weak=0.7, weak_to_strong=0.8, strong=strong)
    assert math.isnan(found.value)
    assert found.reason is not None
    assert "no gap to recover" in found.reason


def test_labels_that_harm_or_help_beyond_the_truth_are_said_as_they_are():
    assert recovered_gap("f1", weak=0.7, weak_to_strong=0.6, strong=0.9).value == pytest.approx(-0.5)
    assert recovered_gap("f1", weak=0.7, weak_to_strong=1.0, strong=0.9).value == pytest.approx(1.5)


def test_an_unknown_figure_gives_no_share():
    found = recovered_gap("f1", weak=float("nan"), weak_to_strong=0.6, strong=0.9)
    assert math.isnan(found.value)
    assert found.reason == "f1 is not known of all three classifiers"
