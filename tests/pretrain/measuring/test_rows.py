"""Rows of a report: groups that borrow a class, figures at both prevalences, leads over baselines."""

import numpy as np
import pytest

from tokensieve.pretrain.measuring.histograms import Histograms, histograms
from tokensieve.pretrain.measuring.measure import Measured
from tokensieve.pretrain.measuring.rows import Levels, rows


def measured(domains: list[str], **scorers: Histograms) -> Measured:
    """Token histograms by scorer, and no label of any document."""
    nothing = np.zeros((len(domains), 256), dtype=np.int64)
    unlabelled = Histograms(positive_DQ=nothing, negative_DQ=nothing, unknown_DQ=nothing)
    return Measured(
        counts={"token": scorers, "document": dict.fromkeys(scorers, unlabelled)},
        domains=np.array(domains, dtype=object),
        sources=np.array(["one"] * len(domains), dtype=object),
        keys_D=np.arange(len(domains), dtype=np.uint64),
        left_out={},
    )


def coarse(rng: np.random.Generator, positive_D: np.ndarray, lead: float, tokens: int = 20) -> Histograms:
    """Documents of one label each, whose tokens score `lead` logits higher where it is positive."""
    positive_T = np.repeat(positive_D, tokens)
    return histograms(
        rng.normal(size=len(positive_T)) + lead * positive_T, positive_T, np.arange(len(positive_D) + 1) * tokens
    )


DOMAINS = ["medicine"] * 12 + ["biology"] * 12 + ["code"] * 12
POSITIVE_D = np.array([domain == "medicine" for domain in DOMAINS])
LEVELS: Levels = {"token": {"model": 144, "lexicon": 128}, "document": {"model": 128, "lexicon": 128}}


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    counts = measured(DOMAINS, model=coarse(rng, POSITIVE_D, 3.0), lexicon=coarse(rng, POSITIVE_D, 1.0))
    return rows(counts, LEVELS, seed=4)


def test_there_is_a_row_for_the_whole_and_for_each_domain_but_none_for_the_only_source(found):
    assert [(row.unit, row.kind, row.group) for row in found] == [
        ("token", "all", ""),
        *(("token", "domain", domain) for domain in ("biology", "code", "medicine")),
    ]
    assert (found[0].documents, found[0].positives, found[0].negatives) == (36, 240, 480)
    assert found[0].prevalence == pytest.approx(1 / 3)


def test_a_domain_of_one_class_borrows_the_other_and_says_so(found):
    biology, medicine = found[1], found[3]
    assert (biology.borrowed, medicine.borrowed, found[0].borrowed) == ("positives", "negatives", None)
    assert (biology.documents, biology.positives, biology.negatives) == (12, 240, 240)
    assert (medicine.positives, medicine.negatives) == (240, 480)
    model = biology.scorers["model"]
    assert model.auroc.value == pytest.approx(0.98, abs=0.02)
    # What is borrowed is not the group's: it has no recall of its own, and its marked share is its false positives.
    assert model.recall.value is None
    assert model.marked.value == pytest.approx(model.false_positive_rate.value)
    assert medicine.scorers["model"].marked.value == pytest.approx(medicine.scorers["model"].recall.value)


def test_leads_over_a_baseline_are_paired_and_the_models_own(found):
    lead = found[0].differences["lexicon"]["auroc"]
    model, lexicon = (found[0].scorers[who].auroc for who in ("model", "lexicon"))
    assert lead.value == pytest.approx(model.value - lexicon.value)
    assert lead.low > 0.1
    assert set(found[0].differences["lexicon"]) == {
        "auroc", "balanced.f1", "balanced.average_precision", "natural.f1", "natural.average_precision",
    }  # fmt: skip


def test_equal_scorers_have_a_lead_of_exactly_zero_that_excludes_nothing():
    same = coarse(np.random.default_rng(1), POSITIVE_D, 1.0)
    levels: Levels = {"token": {"model": 128, "lexicon": 128}}
    (row, *_) = rows(measured(DOMAINS, model=same, lexicon=same), levels, 0)
    lead = row.differences["lexicon"]["auroc"]
    assert (lead.value, lead.low, lead.high, lead.excludes_zero) == (0, 0, 0, False)


def test_balanced_figures_stay_and_natural_ones_follow_the_given_prevalence():
    counts = measured(DOMAINS, model=coarse(np.random.default_rng(2), POSITIVE_D, 2.0))
    own, rare = (rows(counts, LEVELS, 0, prevalence=share)[0] for share in (None, 0.01))
    at_own, at_rare = own.scorers["model"], rare.scorers["model"]
    assert rare.prevalence == 0.01
    assert at_own.balanced == at_rare.balanced
    hit, false = at_rare.recall.value, at_rare.false_positive_rate.value
    assert hit is not None
    assert false is not None
    assert at_rare.natural.precision.value == pytest.approx(0.01 * hit / (0.01 * hit + 0.99 * false))
    f1 = [one.f1.value or 0 for one in (at_rare.natural, at_own.natural, at_own.balanced)]
    assert 0 < f1[0] < f1[1] < f1[2]


def test_every_figure_lies_in_its_interval(found):
    for row in found:
        for at in row.scorers.values():
            both = [one for share in (at.balanced, at.natural) for one in (share.f1, share.precision)]
            for one in (at.auroc, at.recall, at.false_positive_rate, *both):
                assert one.value is None or one.low <= one.value <= one.high


def test_groups_with_both_classes_of_their_own_borrow_nothing():
    rng = np.random.default_rng(3)
    positive_T = rng.random(36 * 20) < 0.3
    counts = histograms(rng.normal(size=36 * 20) + positive_T, positive_T, np.arange(37) * 20)
    found = rows(measured(DOMAINS, model=counts), LEVELS, 0)
    assert {row.borrowed for row in found} == {None}
    assert sum(row.positives for row in found[1:]) == found[0].positives


def test_rows_repeat_themselves(found):
    rng = np.random.default_rng(0)
    counts = measured(DOMAINS, model=coarse(rng, POSITIVE_D, 3.0), lexicon=coarse(rng, POSITIVE_D, 1.0))
    assert rows(counts, LEVELS, seed=4) == found
    assert rows(counts, LEVELS, seed=5)[0].scorers["model"].auroc.low != found[0].scorers["model"].auroc.low
