"""Thresholds by goal, on made-up histograms in which the right level can be read off, and goals that cannot be met."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tokensieve.pretrain.errors import GoalError, Unreachable
from tokensieve.pretrain.measuring.goals import Goal, Units, choose
from tokensieve.pretrain.measuring.histograms import Histograms, level_probability


def units(*documents: tuple[str, dict[int, int], dict[int, int], dict[int, int]]) -> Units:
    """Documents as (domain, positive, negative, unknown), each a count by level."""
    parts = [np.zeros((len(documents), 256), dtype=np.int64) for _ in range(3)]
    for d, (_, *counts) in enumerate(documents):
        for part_DQ, by_level in zip(parts, counts, strict=True):
            for level, count in by_level.items():
                part_DQ[d, level] = count
    counts = Histograms(positive_DQ=parts[0], negative_DQ=parts[1], unknown_DQ=parts[2])
    return Units(counts=counts, domains=np.array([domain for domain, *_ in documents], dtype=object))


USUAL = units(
    ("medicine", {200: 80, 120: 15, 60: 5}, {}, {}),
    ("biology", {}, {150: 2, 100: 8, 40: 90}, {}),
    ("code", {}, {130: 1, 20: 799}, {}),
)


def test_recall_takes_the_highest_level_that_still_reaches_it():
    assert choose(Goal(recall=0.8), USUAL).level == 200
    assert choose(Goal(recall=0.95), USUAL).level == 120
    assert choose(Goal(recall=1.0), USUAL).level == 60


def test_false_positive_rates_hold_on_every_named_domain_and_no_lower_level_would_do():
    assert choose(Goal(false_positive_rate={"biology": 0.02}), USUAL).level == 101
    assert choose(Goal(false_positive_rate={"biology": 0.1}), USUAL).level == 41
    both = choose(Goal(false_positive_rate={"biology": 0.1, "code": 0.001}), USUAL)
    assert both.level == 131
    assert both.achieved["false_positive_rate.biology"] == 0.02
    assert both.achieved["false_positive_rate.code"] == 0
    assert both.achieved["recall"] == 0.8


def test_a_share_counts_units_of_unknown_label_too():
    with_unknown = units(("", {200: 10}, {50: 60}, {180: 30}))
    assert choose(Goal(share=0.4), with_unknown).achieved["marked"] == 0.4
    assert choose(Goal(share=0.4), with_unknown).level in range(51, 181)
    assert choose(Goal(share=0.1), with_unknown).level in range(181, 201)


def test_f1_is_balanced_or_at_prevalence_and_these_differ():
    rare = units(("", {200: 80, 120: 20}, {150: 300, 20: 9700}, {}))
    assert choose(Goal(f1="balanced"), rare).level == 21
    assert choose(Goal(f1="prevalence"), rare).level == 151


def test_what_was_achieved_is_said():
    chosen = choose(Goal(recall=0.9), USUAL)
    assert chosen.threshold == level_probability(120)
    assert chosen.achieved == {
        "marked": 0.098,
        "recall": 0.95,
        "false_positive_rate": 0.003333,
        "precision": 0.969388,
        "f1": 0.959596,
        "balanced_f1": 0.972696,
    }


def test_a_recall_that_needs_everything_marked_is_refused_with_what_can_be_reached():
    lost = units(("", {200: 90, 0: 10}, {10: 100}, {}))
    assert choose(Goal(recall=0.9), lost).level == 200
    with pytest.raises(Unreachable, match=r"recall 0.95 .* without marking every unit.* from 0 to 0.9 can be met"):
        choose(Goal(recall=0.95), lost)


def test_a_rate_that_only_marking_nothing_reaches_is_refused_with_what_can_be_reached():
    saturated = units(("biology", {255: 5}, {255: 3, 10: 97}, {}))
    with pytest.raises(Unreachable, match=r"0.01 on biology .* rates from 0.03 to 1 can be met"):
        choose(Goal(false_positive_rate={"biology": 0.01}), saturated)


def test_a_share_that_no_level_comes_near_is_refused_with_its_neighbours():
    coarse = units(("", {200: 40}, {10: 60}, {}))
    assert choose(Goal(share=0.42), coarse).achieved["marked"] == 0.4
    with pytest.raises(Unreachable, match=r"share 0.2 cannot be met: neighbouring thresholds mark 0 and 0.4"):
        choose(Goal(share=0.2), coarse)


def test_a_goal_on_what_is_not_there_names_what_is():
    with pytest.raises(GoalError, match=r"domain 'chemistry' has no unit .* biology, code, medicine"):
        choose(Goal(false_positive_rate={"chemistry": 0.1}), USUAL)
    with pytest.raises(GoalError, match="no unit is labelled 'forget'"):
        choose(Goal(recall=0.5), units(("", {}, {9: 1}, {})))
    with pytest.raises(GoalError, match="no unit to choose a threshold on"):
        choose(Goal(share=0.5), units(("", {}, {}, {})))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one of f1, share, recall, false_positive_rate, not none"),
        ({"f1": "balanced", "recall": 0.9}, "not f1 and recall"),
        ({"share": 1.5}, "less than 1"),
        ({"false_positive_rate": {"biology": 1.0}}, "false_positive_rate.biology is a share"),
        ({"false_positive_rate": {}}, "at least 1 item"),
        ({"f1": "macro"}, "'balanced' or 'prevalence'"),
    ],
)
def test_a_goal_that_means_nothing_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Goal.model_validate(given)


def test_a_goal_reads_as_words():
    assert str(Goal(f1="balanced")) == "maximum F1, both classes weighing the same"
    assert str(Goal(share=0.05)) == "0.05 of all units marked"
    assert str(Goal(false_positive_rate={"biology": 0.01})) == "false-positive rate on biology at most 0.01"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), recall=st.floats(0.05, 1.0), rate=st.floats(0.0, 0.9))
def test_a_chosen_level_meets_its_goal_and_its_neighbour_does_not(seed, recall, rate):
    rng = np.random.default_rng(seed)
    positive_DQ, negative_DQ = (np.zeros((3, 256), dtype=np.int64) for _ in range(2))
    for part_DQ, centre in ((positive_DQ, 160), (negative_DQ, 90)):
        np.add.at(part_DQ, (rng.integers(0, 3, 60), np.clip(rng.normal(centre, 40, 60), 1, 254).astype(int)), 1)
    counts = Histograms(positive_DQ=positive_DQ, negative_DQ=negative_DQ, unknown_DQ=np.zeros_like(negative_DQ))
    some = Units(counts=counts, domains=np.full(3, "x", dtype=object))
    by_recall = choose(Goal(recall=recall), some).level
    assert some.recall_L[by_recall] >= recall - 1e-9
    assert some.recall_L[by_recall + 1] < recall
    by_rate = choose(Goal(false_positive_rate={"x": rate}), some).level
    rate_L = some.false_positives("x")
    assert rate_L[by_rate] <= rate + 1e-9
    assert rate_L[by_rate - 1] > rate
