"""What another bundle or rule does to the same documents: scores side by side, and how many get another action.

"The same" is equal id and equal hash of the text in both releases; each side is read at the version that its release
pins. Scores and decisions only: no text and no token scores cross Spark's shuffle.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.policies.rules import load_rules
from tokensieve.jobs.refreshing.drift import compare
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.releases.release_report import BundleChange, Flip, Flips, RuleChange, SameDocuments
from tokensieve.udfs.scores.compare_scores import AFTER, BEFORE, PAIR_SCHEMA, compare_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.policies.rules import RuleEntry
    from tokensieve.jobs.tables.config import TablesConfig

SAME = ["doc_id", "text_hash"]


def changed_bundles(release: Release, previous: Release) -> list[str]:
    """Policies of both releases whose bundle is another one."""
    return sorted(
        policy for policy, bundle in release.bundles.items() if previous.bundles.get(policy, bundle) != bundle
    )


def bundle_changes(
    tables: "TablesConfig", spark: "SparkSession", release: Release, previous: Release
) -> dict[str, tuple[BundleChange, SameDocuments]]:
    """Each policy with another bundle than before: the same documents' scores compared, in one join."""
    policies = changed_bundles(release, previous)
    if not policies:
        return {}
    table = tables.table("scores")
    old = _scores(table.read(spark, previous.tables["scores"]), policies, BEFORE)
    new = _scores(table.read(spark, release.tables["scores"]), policies, AFTER)
    pairs = old.join(new, SAME).drop(*SAME)
    rows = pairs.mapInArrow(partial(compare_scores, policies), schema=PAIR_SCHEMA).collect()
    return {
        policy: _change(policy, [row for row in rows if row["policy"] == policy], release, previous)
        for policy in policies
    }


def _scores(scores: "DataFrame", policies: list[str], side: str) -> "DataFrame":
    from pyspark.sql import functions as F

    return scores.select(*SAME, *(F.col(f"{policy}.doc_score").alias(side + policy) for policy in policies))


def _change(policy: str, rows: list[Any], release: Release, previous: Release) -> tuple[BundleChange, SameDocuments]:
    before_B, after_B = (_sum(rows, side) for side in ("before", "after"))
    documents = int(before_B.sum())
    change = BundleChange(
        before=previous.bundles[policy],
        after=release.bundles[policy],
        name_before=previous.bundle_names[policy],
        name_after=release.bundle_names[policy],
        difference=compare(before_B, after_B),
        mean_change=sum(row["change"] for row in rows) / documents if documents else None,
        correlation=_correlation(documents, rows),
    )
    return change, SameDocuments(before_B=tuple(before_B.tolist()), after_B=tuple(after_B.tolist()))


def _sum(rows: list[Any], side: str) -> np.ndarray:
    """Int64 [256]; zeros where there are no rows."""
    flat = np.frombuffer(b"".join(bytes(row[side]) for row in rows), dtype="<i8")
    return flat.reshape(-1, 256).sum(axis=0)


def _correlation(documents: int, rows: list[Any]) -> float | None:
    """Pearson's, from sums of whole numbers."""
    x, y, xx, yy, xy = (
        sum(row[name] for row in rows)
        for name in ("before_sum", "after_sum", "before_squares", "after_squares", "products")
    )
    spread = (documents * xx - x * x) * (documents * yy - y * y)
    return (documents * xy - x * y) / math.sqrt(spread) if spread > 0 else None


def flips(tables: "TablesConfig", spark: "SparkSession", release: Release, previous: Release) -> Flips:
    """Documents whose action is another one than in the previous release."""
    from pyspark.sql import functions as F

    table = tables.table("masked")
    old = table.read(spark, previous.tables["masked"]).select(*SAME, F.col("action").alias("old"))
    new = table.read(spark, release.tables["masked"]).select(*SAME, F.col("action").alias("new"))
    rows = old.join(new, SAME).groupBy("old", "new").count().collect()
    moves = [
        Flip(before=row["old"], after=row["new"], documents=row["count"]) for row in rows if row["old"] != row["new"]
    ]
    ordered = sorted(moves, key=lambda move: (-move.documents, move.before, move.after))
    return Flips(compared=sum(row["count"] for row in rows), moves=tuple(ordered))


def rule_changes(tables: "TablesConfig", release: Release, previous: Release) -> tuple[RuleChange, ...]:
    """Every setting of the rules that differs; thresholds are those in force, a bundle's own among them."""
    if release.rule_id == previous.rule_id:
        return ()
    old, new = (
        {(policy, setting): value for policy, entry in rules.policies.items() for setting, value in _settings(entry)}
        for rules in (load_rules(tables, previous.rule_id), load_rules(tables, release.rule_id))
    )
    return tuple(
        RuleChange(policy=policy, setting=setting, before=old.get((policy, setting)), after=new.get((policy, setting)))
        for policy, setting in sorted(old.keys() | new.keys())
        if old.get((policy, setting)) != new.get((policy, setting))
    )


def _settings(entry: "RuleEntry") -> list[tuple[str, str]]:
    in_force = {"threshold": entry.threshold, "cascade_threshold": entry.cascade_threshold}
    settings = {"definition": entry.definition_id, "bundle": entry.bundle_id, **entry.rule.model_dump(), **in_force}
    return [
        (name, "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value))
        for name, value in settings.items()
    ]
