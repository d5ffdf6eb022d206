"""How far a back end's logits are from another's on the same tokens, and what that changes in a table.

What a table keeps of a logit is a step of the grid, and what a rule makes of it is a decision, so both are counted;
the largest difference alone says little of an int8 graph.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from udfs.scores import decision_level, quantize_logits


class LogitAgreement(BaseModel):
    """T tokens under P policies: T * P token logits, and as many of the documents' addends.

    Attributes:
        tokens: T. decisions: T * P.
        finite: whether all of them are numbers.
        max_difference: the largest difference of two logits that are numbers, of either kind.
        decision_flips: decisions at each policy's threshold that differ.
        step_flips: scores that differ by more than one step of the grid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int
    decisions: int
    finite: bool
    max_difference: float
    decision_flips: int
    step_flips: int

    @property
    def flipped(self) -> float:
        """The share of decisions that differ."""
        return self.decision_flips / self.decisions if self.decisions else 0.0

    def __str__(self) -> str:
        return (
            f"{self.tokens:,} tokens: largest difference of a logit {self.max_difference:.2g}, {self.decision_flips:,} "
            f"decisions differ ({self.flipped:.2%}), {self.step_flips:,} scores by more than one step"
            + ("" if self.finite else ", and some are not numbers")
        )


def agreement(expected_TH: np.ndarray, found_TH: np.ndarray, thresholds: Sequence[float]) -> LogitAgreement:
    """Compares two back ends' values, float32 [T, 2P] as in `Pending.values`; `thresholds` are P probabilities."""
    finite_TH = np.isfinite(expected_TH) & np.isfinite(found_TH)
    expected_TH, found_TH = (np.where(finite_TH, values, 0).astype(np.float64) for values in (expected_TH, found_TH))
    old_TP, new_TP = (quantize_logits(values_TH[:, ::2]).astype(np.int64) for values_TH in (expected_TH, found_TH))
    levels_P = np.array([decision_level(threshold) for threshold in thresholds])
    return LogitAgreement(
        tokens=len(expected_TH),
        decisions=old_TP.size,
        finite=bool(finite_TH.all()),
        max_difference=float(np.abs(expected_TH - found_TH).max(initial=0)),
        decision_flips=int(((old_TP >= levels_P) != (new_TP >= levels_P)).sum()),
        step_flips=int((np.abs(old_TP - new_TP) > 1).sum()),
    )
