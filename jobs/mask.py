"""Verb `mask`: table `scores` in, table `masked` out. Decides again from stored scores; no model, no text in Python.

Only the score columns cross into Python (arrow_udf); the text stays in the JVM and is copied beside the decision.
Also an application: spark-submit jobs/mask.py.
"""

from typing import TYPE_CHECKING, Any

from jobs.errors import BalanceError, InputError
from jobs.ledger import Ledger
from jobs.policies import RuleSet, content_id, rule_set
from jobs.quarantine import read_quarantine
from jobs.tables import Commit, TablesConfig
from udfs.rule import ACTIONS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from jobs.config import Config

DECISION = (
    "struct<forget_spans: array<struct<start: int, end: int, policy: string>>, action: string, forget_bytes: bigint>"
)


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Applies the policies' rules to the scores and returns the counts. Done already: nothing is written.

    Rows of source files whose scores have changed are decided anew, all of them under another rule. Raises InputError
    when the scores are missing or of other bundles, BalanceError when documents are lost.
    """
    rules = rule_set(config.policies)
    masked = config.tables.table("masked")
    source = checked_scores(config.tables, rules)
    refuse_below_cascade(config.tables, source, {name: entry.threshold for name, entry in rules.policies.items()})
    wanted = Commit(
        batch=content_id({"scores": source.batch, "rules": rules.rule_id}),
        inputs={"scores": source.batch, "scores_version": source.version, "rule_id": rules.rule_id},
        ledger=source.ledger,
    )
    save_rules(config.tables, rules)
    current = masked.commit()
    if current is None or (current.batch, current.ledger) != (wanted.batch, wanted.ledger):
        base = current if current and current.inputs["rule_id"] == rules.rule_id and current.ledger else None
        if base is None or source.ledger is None:
            _write_all(config, spark, rules, source, wanted)
        else:
            _write_changes(config, spark, rules, source, wanted, base)
        config.tables.forget_old(masked)
    return counts(config.tables, spark)


def _write_all(config: "Config", spark: "SparkSession", rules: RuleSet, source: Commit, wanted: Commit) -> None:
    """Decides every row anew."""
    rows = config.tables.table("scores").read(spark, source.version)
    ledger = Ledger.of(config.tables.store, source)
    sources = () if ledger is None else ledger.sources
    config.tables.table("masked").replace(_masked(rows, rules, config), wanted, sources=sources)


def _write_changes(
    config: "Config", spark: "SparkSession", rules: RuleSet, source: Commit, wanted: Commit, base: Commit
) -> None:
    """Decides the rows of those source files that were scored since the table was made; others keep their decision."""
    now, then = (Ledger.load(config.tables.store, str(commit.ledger)) for commit in (source, base))
    changed, gone = now.changed_since(then), now.gone_since(then)
    rows = config.tables.table("scores").read(spark, source.version, changed)
    leaving = gone | (changed & then.sources.keys())
    config.tables.table("masked").update(_masked(rows, rules, config), wanted, base, leaving, changed)


def _masked(scores: "DataFrame", rules: RuleSet, config: "Config") -> "DataFrame":
    """Rows of the masked table, of rows of the scores table."""
    from pyspark.sql import functions as F

    rows = decided(scores, rules, config.source.columns.text).drop(*rules.policies)
    return rows.withColumn("rule_id", F.lit(rules.rule_id))


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
        from udfs.decide_rows import decide_rows

        return decide_rows(settings, list(columns))  # type: ignore[arg-type]

    udf = F.arrow_udf(decide_batch, DECISION)  # type: ignore  # pyspark's stubs know no variable arguments
    return udf(*(F.col(name) for name in settings))


def save_rules(tables: TablesConfig, rules: RuleSet) -> None:
    """Writes what `rule_id` names to `<root>/rules/<rule_id>.json`."""
    tables.store.write(f"rules/{rules.rule_id}.json", (rules.model_dump_json(indent=2) + "\n").encode())


def load_rules(tables: TablesConfig, rule_id: str) -> RuleSet:
    """Reads a rule set back. Raises InputError when it is not there."""
    name = f"rules/{rule_id}.json"
    try:
        return RuleSet.model_validate_json(tables.store.read(name))
    except FileNotFoundError:
        where = tables.store.uri(name)
        raise InputError(f"{where}: the content of rule {rule_id} is missing; run `tokensieve mask` again") from None


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


if __name__ == "__main__":
    from jobs.cli import application

    application("mask")
