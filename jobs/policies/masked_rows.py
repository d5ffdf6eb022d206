"""What the rules decide of scored rows, and what the masked table holds of it: the rows and their counts."""

from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import BalanceError, InputError
from tokensieve.jobs.policies.rules import RuleSet
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.quarantine import read_quarantine
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.deciding.rule import ACTIONS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


DECISION = (
    "struct<forget_spans: array<struct<start: int, end: int, policy: string>>, action: string, forget_bytes: bigint>"
)


def decided(scores: "DataFrame", rules: RuleSet, text: str) -> "DataFrame":
    """The rows of the scores table, `text` being their text column, with what the rules decide of them: the columns of
    DECISION and `doc_score_<policy>`, each policy's document score."""
    from pyspark.sql import functions as F

    rows = scores.withColumn("decision", _decision(rules))
    doc_scores = [F.col(f"{name}.doc_score").alias(f"doc_score_{name}") for name in rules.policies]
    return rows.select("*", "decision.*", *doc_scores).drop("decision").withColumnRenamed(text, "text")


def checked_scores(tables: TablesConfig, rules: RuleSet) -> Commit:
    """The scores' commit, if they are of the bundles that the rules are for."""
    commit = tables.table("scores").commit()
    if commit is None:
        raise InputError(f"{tables.root}: no scores table; run `tokensieve score` first")
    there = commit.inputs["bundles"]
    wanted = {name: entry.bundle_id for name, entry in rules.policies.items()}
    missing = {name: bundle for name, bundle in wanted.items() if dict(there or {}).get(name) != bundle}  # type: ignore[call-overload]
    if missing:
        raise InputError(f"{tables.root}/scores: scored with {there}, the rules want {missing}; run `tokensieve score`")
    return commit


def refuse_below_cascade(tables: TablesConfig, commit: Commit, thresholds: dict[str, float]) -> None:
    """A cascade's thresholds hold for the token thresholds that they were chosen for, and for stricter ones.

    Raises InputError when a policy's token threshold, a probability, is below that.
    """
    levels: Any = dict(commit.inputs.get("cascade_chosen") or {}).get("levels", {})  # type: ignore[call-overload]
    for name, threshold in thresholds.items():
        if threshold < levels.get(name, 0.0):
            raise InputError(
                f"{tables.root}/scores: a cascade skipped documents for policy {name} at token threshold "
                f"{levels[name]:.4g}; {threshold:.4g} would miss tokens in them. Raise the threshold, or score again "
                "without score.cascade or with this threshold"
            )


def _decision(rules: RuleSet) -> "Column":
    import pyarrow as pa
    from pyspark.sql import functions as F

    settings = {name: (entry.in_force, entry.threshold) for name, entry in rules.policies.items()}

    def decide_batch(*columns: pa.Array) -> pa.Array:
        from tokensieve.udfs.deciding.decide_rows import decide_rows

        return decide_rows(settings, list(columns))  # type: ignore[arg-type]

    udf = F.arrow_udf(decide_batch, DECISION)  # type: ignore  # pyspark's stubs know no variable arguments
    return udf(*(F.col(name) for name in settings))


def masked_commits(tables: TablesConfig) -> tuple[Commit, Commit]:
    """The commits of the masked table and of the scores that it was made from.

    Raises InputError where there is none, and where other scores stand there now.
    """
    masked, scores = tables.table("masked"), tables.table("scores")
    commit, scored = masked.commit(), scores.commit()
    if commit is None or scored is None:
        raise InputError(f"{masked.uri}: no masked table; run `tokensieve mask` first")
    if (commit.inputs["scores"], commit.ledger) != (scored.batch, scored.ledger):
        raise InputError(f"{masked.uri}: made from other scores than those that stand there; run `tokensieve mask`")
    return commit, scored


def counts(tables: TablesConfig, spark: "SparkSession") -> dict[str, Any]:
    """Documents by action, forget bytes and quarantine, read back from what was written.

    Raises BalanceError unless in = keep + mask + hide + drop + quarantine, `in` being what was listed for scoring.
    """
    from pyspark.sql import functions as F

    commit, scored = masked_commits(tables)
    totals = (
        tables.table("masked")
        .read(spark, commit.version)
        .groupBy("action")
        .agg(F.count("*").alias("n"), F.sum("forget_bytes").alias("bytes"))
    )
    found = {row["action"]: row for row in totals.collect()}
    documents = {action: found[action]["n"] if action in found else 0 for action in ACTIONS}
    quarantined = read_quarantine(tables, spark, scored.version).count()
    balance = {"in": scored.counts["in"], **documents, "quarantine": quarantined}
    if balance["in"] != sum(documents.values()) + quarantined:
        raise BalanceError(f"{tables.root}: {balance}: the parts do not sum to `in`; run `tokensieve mask` again")
    forget_bytes = sum(row["bytes"] for row in found.values())
    return {
        "batch": commit.batch,
        "rule_id": commit.inputs["rule_id"],
        "documents": balance,
        "forget_bytes": forget_bytes,
    }
