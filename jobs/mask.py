"""Verb `mask`: table `scores` in, table `masked` out. Decides again from stored scores; no model, no text in Python.

Only the score columns cross into Python (arrow_udf); the text stays in the JVM and is copied beside the decision.
Also an application: spark-submit jobs/mask.py.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.policies.masked_rows import checked_scores, counts, decided, refuse_below_cascade
from tokensieve.jobs.policies.rules import RuleSet, rule_set, save_rules
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.files.content_id import content_id

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config

    Decide = Callable[[DataFrame], DataFrame]
    """Rows of the masked table, of rows of the scores table."""


def run(config: "Config", spark: "SparkSession", *, rules: RuleSet | None = None) -> dict[str, Any]:
    """Applies the policies' rules to the scores and returns the counts. Done already: nothing is written.

    Rows of source files whose scores have changed are decided anew, all of them under another rule. `rules`: those of
    the configuration, where the caller has them; None: loads them. Raises InputError when the scores are missing or of
    other bundles, BalanceError when documents are lost.
    """
    rules = rules or rule_set(config.policies)
    masked = config.tables.table("masked")
    source = checked_scores(config.tables, rules)
    refuse_below_cascade(config.tables, source, {name: entry.threshold for name, entry in rules.policies.items()})
    wanted = Commit(
        batch=content_id({"scores": source.batch, "rules": rules.rule_id}),
        inputs={"scores": source.batch, "scores_version": source.version, "rule_id": rules.rule_id},
        ledger=source.ledger,
    )
    save_rules(config.tables, rules)
    current, decide = masked.commit(), partial(_masked, rules=rules, text=config.source.columns.text)
    if current is None or (current.batch, current.ledger) != (wanted.batch, wanted.ledger):
        base = current if current and current.inputs["rule_id"] == rules.rule_id and current.ledger else None
        if base is None or source.ledger is None:
            _write_all(config.tables, spark, decide, source, wanted)
        else:
            _write_changes(config.tables, spark, decide, source, wanted, base)
        config.tables.forget_old(masked)
    return counts(config.tables, spark)


def _write_all(tables: TablesConfig, spark: "SparkSession", decide: "Decide", source: Commit, wanted: Commit) -> None:
    """Decides every row anew."""
    rows = tables.table("scores").read(spark, source.version)
    sources = sources_of(Ledger.of(tables.store, source))
    tables.table("masked").replace(decide(rows), wanted, sources=sources)


def _write_changes(
    tables: TablesConfig, spark: "SparkSession", decide: "Decide", source: Commit, wanted: Commit, base: Commit
) -> None:
    """Decides the rows of those source files that were scored since the table was made; others keep their decision."""
    now, then = (Ledger.load(tables.store, str(commit.ledger)) for commit in (source, base))
    changed, gone = now.changed_since(then), now.gone_since(then)
    rows = tables.table("scores").read(spark, source.version, changed)
    leaving = gone | (changed & then.sources.keys())
    tables.table("masked").update(decide(rows), wanted, base, leaving, changed)


def _masked(scores: "DataFrame", rules: RuleSet, text: str) -> "DataFrame":
    """Rows of the masked table, of rows of the scores table."""
    from pyspark.sql import functions as F

    rows = decided(scores, rules, text).drop(*rules.policies)
    return rows.withColumn("rule_id", F.lit(rules.rule_id))


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("mask")
