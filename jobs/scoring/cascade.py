"""The cascade of a scoring job: its configuration, thresholds from a sample of the source, and what it keeps and saves.

Two samples by a hash of the document id, apart from each other: on one the thresholds are chosen, in a pass before the
main one; the other gets a full scan in the main pass, and says what share of the forget tokens was kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.config.score import CascadeConfig
from tokensieve.jobs.errors import ConfigError
from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.scoring.cascade import Cascade
from tokensieve.udfs.scoring.judge_rows import JUDGED_SCHEMA, judge_rows
from tokensieve.udfs.scoring.score_plan import SAMPLED, ScorePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


Stage = Callable[[ScorePlan], "DataFrame"]

RESAMPLES = 200
CAUTION = 0.1  # share of the resamples in which the chosen threshold would have kept too little


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Fully scanned documents D under one policy."""

    probe_D: np.ndarray  # float64, infinity where there was none
    forget_D: np.ndarray  # tokens at or above the policy's threshold
    tokens_D: np.ndarray
    probed_D: np.ndarray  # tokens of the stretches


def judged(scored: "DataFrame", levels: dict[str, float], cascade: Cascade) -> dict[str, Judged]:
    """What fully scanned rows of a scores table say, by policy; `levels` are the token thresholds, probabilities."""
    grid = [(policy, grid_threshold(level)) for policy, level in levels.items()]
    rows = scored.select(*levels).mapInArrow(partial(judge_rows, grid, cascade), JUDGED_SCHEMA).toArrow()
    policy_R = np.array(rows.column("policy").to_pylist())
    numbers = {name: rows.column(name).to_numpy() for name in ("probe", "forget", "tokens", "probed")}
    probe_R = np.where(np.isnan(numbers["probe"].astype(np.float64)), np.inf, numbers["probe"])
    return {
        policy: Judged(
            probe_D=probe_R[policy_R == policy],
            forget_D=numbers["forget"][policy_R == policy],
            tokens_D=numbers["tokens"][policy_R == policy],
            probed_D=numbers["probed"][policy_R == policy],
        )
        for policy in levels
    }


def choose_thresholds(
    config: CascadeConfig, stage: Stage, plan: ScorePlan, levels: dict[str, float], documents: int
) -> dict[str, float]:
    """By policy the probe threshold that keeps `config.keep` of the forget tokens, from a full scan of a sample.

    Args: levels: the policies' token thresholds, probabilities. documents: how many the source has.
    Raises ConfigError when the sample has no forget token of a policy.
    """
    every = config.probing(dict.fromkeys(levels, 0.0))
    sample = replace(
        plan,
        scorer=replace(plan.scorer, cascade=every),
        sampling=config.sampling(documents, calibrate=True),
        progress=None,
    )
    found = judged(stage(sample).where("reason is null"), levels, every)
    return {policy: choose_threshold(policy, found[policy], config.keep, config.seed) for policy in levels}


def choose_threshold(policy: str, sample: Judged, keep: float, seed: int) -> float:
    """The highest probe threshold that keeps `keep` of the sample's forget tokens, lowered for the luck of the draw:
    of resamples with replacement all but the share CAUTION would have been content with it.

    Raises ConfigError when the sample has no forget token.
    """
    if not sample.forget_D.sum():
        raise ConfigError(
            f"score.cascade: policy {policy} has no forget token among {len(sample.forget_D)} documents of the sample; "
            "raise score.cascade.documents, or set score.cascade.thresholds"
        )
    rng, documents = np.random.default_rng(seed), len(sample.forget_D)
    found = [_threshold(sample, rng.integers(0, documents, documents), keep) for _ in range(RESAMPLES)]
    chosen = float(np.quantile(found, CAUTION, method="lower"))
    # As a task holds it against float32 probes.
    return float(np.nextafter(np.float32(min(chosen, 1.0)), np.float32(0)))


def _threshold(sample: Judged, documents: np.ndarray, keep: float) -> float:
    probe_D, forget_D = sample.probe_D[documents], sample.forget_D[documents]
    order = np.argsort(-probe_D, kind="stable")
    kept = np.cumsum(forget_D[order])
    return float(probe_D[order][int(np.searchsorted(kept, keep * kept[-1]))]) if kept[-1] else np.inf


def achieved(samples: dict[str, Judged], thresholds: dict[str, float]) -> dict[str, Any]:
    """What the cascade does to fully scanned documents.

    `kept`: by policy the share of forget tokens in documents that it scans, None without any. `saving`: tokens of a
    full scan over those that the cascade reads, stretches and scanned documents together.
    """
    scanned_D = np.any([samples[policy].probe_D >= threshold for policy, threshold in thresholds.items()], axis=0)
    kept = {}
    for policy, sample in samples.items():
        total = int(sample.forget_D.sum())
        kept[policy] = round(float(sample.forget_D[scanned_D].sum() / total), 5) if total else None
    any_sample = next(iter(samples.values()))
    read = any_sample.probed_D.sum() + any_sample.tokens_D[scanned_D].sum()
    return {
        "documents": len(scanned_D),
        "scanned": int(scanned_D.sum()),
        "kept": kept,
        "saving": round(float(any_sample.tokens_D.sum() / read), 3) if read else None,
    }


def checked(scores: "DataFrame", levels: dict[str, float], cascade: Cascade) -> dict[str, Any]:
    """What the cascade kept and saved on the documents of the scores table that were scanned for that end."""
    from pyspark.sql import functions as F

    first = next(iter(levels))
    rows = scores.where(F.col(f"{first}.flags").bitwiseAND(SAMPLED) != 0)
    return achieved(judged(rows, levels, cascade), dict(cascade.thresholds)) | {"thresholds": dict(cascade.thresholds)}
