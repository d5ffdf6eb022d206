"""What differs between two back ends is counted on the grid and at the thresholds."""

import numpy as np

from udfs.scoring.backends.agreement import agreement


def test_differences_flips_and_steps_are_counted_by_policy():
    # Two policies: token logit and document addend of each. A step of the grid is 1/16.
    expected = np.array([[0.0, 1, 0.0, 1], [-0.05, 1, 2.0, 1], [3.0, 1, -1.0, 1]], np.float32)
    found = np.array([[0.0, 1, 0.0, 1], [0.05, 1, 1.5, 1], [2.9, 1, -1.01, 4]], np.float32)
    made = agreement(expected, found, [0.5, 1 / (1 + np.exp(-1.75))])
    assert (made.tokens, made.decisions, made.finite) == (3, 6, True)
    assert made.max_difference == 3.0
    # Under the first policy token 1 goes from below 0 to above; under the second from 2 to 1.5, past 1.75.
    assert made.decision_flips == 2
    assert made.flipped == 1 / 3
    # 3.0 to 2.9 is 48 to 46 steps, 2.0 to 1.5 is 32 to 24, -0.05 to 0.05 is -1 to 1.
    assert made.step_flips == 3


def test_a_value_that_is_no_number_is_told_and_not_compared():
    expected, found = np.array([[0.5, 0]], np.float32), np.array([[np.nan, 0.25]], np.float32)
    made = agreement(expected, found, [0.5])
    assert (made.finite, made.max_difference, made.decision_flips) == (False, 0.25, 0)
    assert str(made).endswith("and some are not numbers")


def test_thresholds_of_zero_and_one_flip_nothing():
    expected, found = np.array([[-9.0, 0]], np.float32), np.array([[9.0, 0]], np.float32)
    assert [agreement(expected, found, [end]).decision_flips for end in (0.0, 1.0)] == [0, 0]


def test_no_tokens_agree():
    empty = np.zeros((0, 2), np.float32)
    assert agreement(empty, empty, [0.5]).flipped == 0
    assert str(agreement(empty, empty, [0.5])) == (
        "0 tokens: largest difference of a logit 0, 0 decisions differ (0.00%), 0 scores by more than one step"
    )
