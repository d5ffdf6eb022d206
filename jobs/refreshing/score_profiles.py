"""How scores are distributed among the documents that a release has anew, and among those that they are held against.

Reference are the documents that earlier releases scored with the same bundle: sums that go from report to report, so
that old rows are not read again. Another bundle begins anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.pages.corpus.facts import ScoreCounts
from tokensieve.jobs.pages.corpus.gather import score_counts
from tokensieve.jobs.policies.rules import load_rules
from tokensieve.jobs.refreshing.drift import compare, judge
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.releases.release_report import Drift, Profile, ReportFile, SameDocuments, TokenFigures
from tokensieve.udfs.scores.stored_scores import decision_level, probabilities

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.policies.rules import RuleSet
    from tokensieve.jobs.tables.config import TablesConfig


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Histograms on the grid, 256 counts each."""

    documents_B: tuple[int, ...]
    tokens_B: tuple[int, ...]


NOTHING = Reference(documents_B=(0,) * 256, tokens_B=(0,) * 256)


def profiles_of(
    tables: "TablesConfig",
    spark: "SparkSession",
    release: Release,
    sources: Collection[str] | None,
    earlier: ReportFile | None,
    same: Mapping[str, SameDocuments],
) -> dict[str, Profile]:
    """Each policy's histograms of the rows of these source files, None for all, beside those of earlier releases."""
    rules = load_rules(tables, release.rule_id)
    counts = _score_counts(tables, spark, release, rules, sources)
    profiles = {}
    for name, entry in rules.policies.items():
        count, reference = counts[name], _reference(name, entry.bundle_id, earlier)
        base = NOTHING if sources is None else reference  # all files written: each document counts once again
        profiles[name] = Profile(
            bundle_id=entry.bundle_id,
            threshold=entry.threshold,
            documents_B=tuple(count.documents_B.tolist()),
            tokens_B=tuple(count.tokens_B.tolist()),
            unscored=count.unscored,
            reference_documents_B=reference.documents_B,
            known_documents_B=tuple((count.documents_B + base.documents_B).tolist()),
            known_tokens_B=tuple((count.tokens_B + base.tokens_B).tolist()),
            other_bundle=same.get(name),
        )
    return profiles


def _score_counts(
    tables: "TablesConfig", spark: "SparkSession", release: Release, rules: "RuleSet", sources: Collection[str] | None
) -> dict[str, ScoreCounts]:
    """Histograms of the rows of these source files; without a Spark job where there are none."""
    if sources is not None and not sources:
        none_B = np.zeros(256, dtype=np.int64)
        return {name: ScoreCounts(tokens_B=none_B, documents_B=none_B, unscored=0) for name in rules.policies}
    rows: DataFrame = tables.table("scores").read(spark, release.tables["scores"], sources)
    return score_counts(rows, list(rules.policies))


def _reference(policy: str, bundle_id: str, earlier: ReportFile | None) -> Reference:
    """What earlier releases scored with the same bundle."""
    profile = earlier.profiles.get(policy) if earlier else None
    if profile is None or profile.bundle_id != bundle_id:
        return NOTHING
    return Reference(documents_B=profile.known_documents_B, tokens_B=profile.known_tokens_B)


def drift_of(policy: str, profile: Profile, earlier: ReportFile | None, config: DriftConfig) -> Drift:
    """A policy's documents against the reference."""
    reference = _reference(policy, profile.bundle_id, earlier)
    difference = compare(reference.documents_B, profile.documents_B)
    return Drift(
        difference=difference,
        verdict=judge(difference, config),
        tokens_before=_figures(np.array(reference.tokens_B), profile.threshold),
        tokens_after=_figures(np.array(profile.tokens_B), profile.threshold),
    )


def _figures(tokens_B: np.ndarray, threshold: float) -> TokenFigures:
    tokens = int(tokens_B.sum())
    if not tokens:
        return TokenFigures(tokens=0, mean=None, above=None)
    probability_B = probabilities(np.arange(256, dtype=np.uint8)).astype(np.float64)
    return TokenFigures(
        tokens=tokens,
        mean=float(tokens_B @ probability_B) / tokens,
        above=int(tokens_B[decision_level(threshold) :].sum()) / tokens,
    )
