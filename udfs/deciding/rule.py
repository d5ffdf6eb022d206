"""A rule turns stored scores into forget spans: a pure function, so that a threshold never needs a second model pass.

Order: threshold with hysteresis, smallest run, bridging of small gaps, dilation, then the document as a whole: the
cascade spares it, or it is dropped.
All of it on flat arrays of a batch; nothing loops over documents.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.spans.intervals import Spans, bridge, dilate, highest, overlay, owners, runs

ACTIONS = ("keep", "mask", "hide", "drop")  # weakest first; the strongest that applies names the document's action


class Rule(BaseModel):
    """One policy's decision rule. Probabilities refer to the bundle's token logit, lengths are classifier tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float | None = Field(default=None, gt=0, lt=1)
    """A token at or above it starts a forget span; None takes the bundle's calibrated threshold."""
    low_threshold: float | None = Field(default=None, gt=0, lt=1)
    """Hysteresis: a span goes on over neighbours at or above it; None means `threshold`."""
    min_tokens: int = Field(default=1, ge=1)
    """Shorter runs are ignored."""
    bridge_tokens: int = Field(default=0, ge=0)
    """Gaps up to this many tokens between two runs are forgotten too."""
    dilate_tokens: int = Field(default=0, ge=0)
    """Every span grows by so many tokens on both sides."""
    cascade_threshold: float | None = Field(default=None, ge=0, lt=1)
    """A document whose document score (a probability) is below it has no forget span; None takes the bundle's setting,
    0 switches it off."""
    action: Literal["mask", "hide", "drop"] = "mask"
    """mask: no loss on the span; hide: its ids are replaced too; drop: only whole documents go."""
    drop_share: float | None = Field(default=None, ge=0, le=1)
    """A document with a larger forgotten share of its bytes is dropped (0 for action drop, if nothing else drops)."""
    drop_document_score: float | None = Field(default=None, gt=0, lt=1)
    """A document whose document score (a probability) is at least this is dropped."""

    @model_validator(mode="after")
    def _ordered(self) -> "Rule":
        if self.threshold is not None and self.low_threshold is not None and self.low_threshold > self.threshold:
            raise ValueError(f"low_threshold {self.low_threshold} is above threshold {self.threshold}")
        return self


@dataclass(frozen=True, kw_only=True)
class PolicyScores:
    """One policy's stored scores of a batch of D documents with T classifier tokens in all."""

    scores_T: np.ndarray  # uint8 on the logit grid
    bytes_T: np.ndarray  # int64, UTF-8 bytes of each token
    bounds_D1: np.ndarray  # int64, in tokens
    document_score_D: np.ndarray  # float, NaN for a document without tokens

    @cached_property
    def byte_offset_T1(self) -> np.ndarray:
        """Where each token begins on the flat axis of the batch's bytes, and where the last one ends: int64 [T + 1]."""
        offset_T1 = np.zeros(len(self.bytes_T) + 1, dtype=np.int64)
        np.cumsum(self.bytes_T, out=offset_T1[1:])
        return offset_T1

    @property
    def byte_bounds_D1(self) -> np.ndarray:
        """The documents' bounds on the flat axis of the batch's bytes: int64 [D + 1]."""
        return self.byte_offset_T1[self.bounds_D1]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to a batch of D documents; spans lie on the flat axis of the batch's bytes."""

    spans: Spans
    policy_N: np.ndarray  # int64, which policy asks for each span
    action_D: np.ndarray  # int64, index into ACTIONS
    forget_bytes_D: np.ndarray  # int64
    byte_bounds_D1: np.ndarray  # int64


def token_spans(scores_T: np.ndarray, bounds_D1: np.ndarray, rule: Rule, threshold: float) -> Spans:
    """Forget spans in tokens. `threshold` is the bundle's, used where the rule has none."""
    high = grid_threshold(rule.threshold or threshold)
    low = min(high, grid_threshold(rule.low_threshold)) if rule.low_threshold else high
    weak = runs(scores_T >= low, bounds_D1)
    seeded = weak if low == high else weak.where(highest(scores_T, weak) >= high)
    long = seeded.where(seeded.end_N - seeded.start_N >= rule.min_tokens)
    return dilate(bridge(long, rule.bridge_tokens, bounds_D1), rule.dilate_tokens, bounds_D1)


def decide(policies: list[tuple[Rule, float, PolicyScores]]) -> Decision:
    """Applies every policy's rule to a batch and settles where they overlap: the stronger action wins.

    Args: per policy, in the order that settles ties, its rule, its bundle's token threshold and its scores. A rule
    without a cascade threshold has no cascade here: the bundle's is filled in by whoever knows the bundle.
    A drop rule adds spans only to the documents that it drops: in all others its finding has no consequence.
    """
    bounds = [scores.byte_bounds_D1 for _, _, scores in policies]
    byte_bounds_D1 = bounds[0]
    if any(not np.array_equal(byte_bounds_D1, other) for other in bounds[1:]):
        raise ValueError("two policies disagree on the length of a document: their scores are of different texts")
    layers, dropped_D = [], np.zeros(len(byte_bounds_D1) - 1, dtype=bool)
    for rule, threshold, scores in policies:
        spans = _byte_spans(token_spans(scores.scores_T, scores.bounds_D1, rule, threshold), scores)
        spans = spans.where(passes(rule, scores)[owners(spans.start_N, byte_bounds_D1)])
        drops_D = drops(rule, _forgotten(spans, byte_bounds_D1), np.diff(byte_bounds_D1), scores.document_score_D)
        dropped_D |= drops_D
        if rule.action == "drop":
            spans = spans.where(drops_D[owners(spans.start_N, byte_bounds_D1)])
        layers.append(spans)
    return _settle([rule.action for rule, _, _ in policies], layers, dropped_D, byte_bounds_D1)


def _settle(actions: list[str], layers: list[Spans], dropped_D: np.ndarray, byte_bounds_D1: np.ndarray) -> Decision:
    strength_P = np.array([ACTIONS.index(action) for action in actions])
    order_P = np.argsort(-strength_P, kind="stable")
    spans, layer_N = overlay([layers[policy] for policy in order_P], byte_bounds_D1)
    policy_N = order_P[layer_N]
    owner_N = owners(spans.start_N, byte_bounds_D1)
    action_D = np.zeros(len(dropped_D), dtype=np.int64)
    np.maximum.at(action_D, owner_N, strength_P[policy_N])
    action_D[dropped_D] = ACTIONS.index("drop")
    return Decision(
        spans=spans,
        policy_N=policy_N,
        action_D=action_D,
        forget_bytes_D=_forgotten(spans, byte_bounds_D1),
        byte_bounds_D1=byte_bounds_D1,
    )


def _forgotten(spans: Spans, byte_bounds_D1: np.ndarray) -> np.ndarray:
    """Bytes of each document that lie in spans, int64 [D]."""
    owner_N, documents = owners(spans.start_N, byte_bounds_D1), len(byte_bounds_D1) - 1
    return np.bincount(owner_N, spans.end_N - spans.start_N, minlength=documents).astype(np.int64)


def _byte_spans(spans: Spans, scores: PolicyScores) -> Spans:
    offset_T1 = scores.byte_offset_T1
    in_bytes = Spans(start_N=offset_T1[spans.start_N], end_N=offset_T1[spans.end_N])
    return in_bytes.where(in_bytes.end_N > in_bytes.start_N)


def passes(rule: Rule, scores: PolicyScores) -> np.ndarray:
    """bool [D]: not spared by the cascade. A score that is not a number spares nothing."""
    return ~(scores.document_score_D < (rule.cascade_threshold or 0.0))


def drops(rule: Rule, forgotten_D: np.ndarray, size_D: np.ndarray, document_score_D: np.ndarray) -> np.ndarray:
    """bool [D]: documents that the rule drops as a whole.

    Args: bytes in forget spans, int64 [D] or, of K decisions, [K, D], which gives bool [K, D]; bytes in all; document
    scores.
    """
    share = rule.drop_share
    if share is None and rule.action == "drop" and rule.drop_document_score is None:
        share = 0.0
    drops_D = np.zeros(forgotten_D.shape, dtype=bool)
    if share is not None:
        drops_D |= forgotten_D > share * size_D
    if rule.drop_document_score is not None:
        drops_D |= np.nan_to_num(document_score_D, nan=0.0) >= rule.drop_document_score
    return drops_D
