"""Verb `sweep`: table `scores` in, table `sweep` out: what each policy's rule would forget at each of many thresholds.

For who has still to choose a threshold: one scan, no model and no text, at about the cost of one threshold. Each policy
is counted as if it were the only one; `mask` settles where several overlap. Also an application: spark-submit
jobs/sweep.py.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.policies.masked_rows import checked_scores, refuse_below_cascade
from tokensieve.jobs.policies.rules import rule_set
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.deciding.sweep import SWEEP_SCHEMA, sweep_rows
from tokensieve.udfs.files.content_id import content_id

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config


COUNTS = ("documents", "tokens", "text_bytes", "marked", "dropped", "forget_tokens", "forget_bytes")


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Writes the table and returns its rows. Done already: nothing is counted again.

    Raises InputError when the scores are missing or of other bundles.
    """
    table, rules = config.tables.table("sweep"), rule_set(config.policies)
    source = checked_scores(config.tables, rules)
    refuse_below_cascade(config.tables, source, dict.fromkeys(rules.policies, min(config.sweep.thresholds)))
    in_force = {name: entry.in_force.model_copy(update={"threshold": None}) for name, entry in rules.policies.items()}
    content = {
        "scores": source.batch,
        "rules": {name: rule.model_dump(mode="json") for name, rule in in_force.items()},
        "thresholds": config.sweep.thresholds,
    }
    wanted = Commit(batch=content_id(content), inputs={"scores": source.batch, "rules": content["rules"]})
    current = table.commit()
    if current is None or current.batch != wanted.batch:
        scores = config.tables.table("scores").read(spark).select(*in_force)
        swept = scores.mapInArrow(partial(sweep_rows, in_force, config.sweep.thresholds), schema=SWEEP_SCHEMA)
        table.replace(_added(swept), wanted)
        table.forget_old()
    rows = [row.asDict() for row in table.read(spark).orderBy("policy", "threshold").collect()]
    return {"batch": wanted.batch, "rows": [{key: row[key] for key in _COLUMNS} for row in rows], "lines": _lines(rows)}


_COLUMNS = ("policy", "threshold", *COUNTS, "forget_token_share", "forget_byte_share")


def _added(swept: "DataFrame") -> "DataFrame":
    """The counts of all batches and partitions, and what share of all they are."""
    from pyspark.sql import functions as F

    rows = swept.groupBy("policy", "threshold").agg(*(F.sum(name).alias(name) for name in COUNTS))
    return rows.coalesce(1).withColumns(
        {
            "forget_token_share": F.try_divide("forget_tokens", "tokens"),
            "forget_byte_share": F.try_divide("forget_bytes", "text_bytes"),
        }
    )


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table for people, a line a policy and threshold."""
    head = (
        f"{'policy':<16} {'threshold':>9} {'documents':>11} {'marked':>11} {'dropped':>11} {'tokens':>8} {'bytes':>8}"
    )
    return [
        head,
        *(
            f"{row['policy']:<16} {row['threshold']:>9.4g} {row['documents']:>11,} {row['marked']:>11,} "
            f"{row['dropped']:>11,} {row['forget_token_share'] or 0:>8.3%} {row['forget_byte_share'] or 0:>8.3%}"
            for row in rows
        ),
    ]


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("sweep")
