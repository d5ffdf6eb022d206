"""Verb `label agree`: how far two label sets of a project agree, on bytes and on a tokenizer's tokens, by source.

Reads only; documents are compared where both sets have them, units where both know them. B stands for the truth in
precision and recall; F1 and kappa do not care.
"""

from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.documents import documents
from tokensieve.jobs.labelling.label_set import read_labels
from tokensieve.jobs.source.scan import spark_schema
from tokensieve.udfs.labels.agreement import COUNTS, Agreement
from tokensieve.udfs.labels.compare_labels import COMPARED_SCHEMA, Comparison
from tokensieve.udfs.labels.labels import LABEL_SCHEMA
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from tokensieve.jobs.config.labelling import LabelConfig

WORST = 10  # documents that are named
GROUPS_SHOWN = 20


def run(
    config: "LabelConfig", spark: "SparkSession", a: str, b: str, tokenizer: str | None = None, by: str = "source_file"
) -> dict[str, Any]:
    """Compares the label sets `a` and `b`. `by` is a column of the source, `source_file` its file.

    Raises InputError: a label set is missing, of another policy, or about other texts than the source has now.
    """
    from pyspark import StorageLevel

    comparison = Comparison(tokenizer=None if tokenizer is None else _checked(tokenizer))
    set_a, set_b = read_labels(config, spark, a), read_labels(config, spark, b)
    with documents(config.source, spark, (("group", by),)) as source:
        pairs = source.frame.where("note is null").drop("note")
        pairs = pairs.withColumn("group", pairs["group"].cast("string"))
        pairs = pairs.join(_prefixed(set_a, "a_"), "doc_id").join(_prefixed(set_b, "b_"), "doc_id")
        compared = pairs.mapInArrow(comparison.compare, schema=spark_schema(COMPARED_SCHEMA))
        compared = compared.persist(StorageLevel.DISK_ONLY)
        try:
            _refuse_other_texts(compared, a, b)
            result = {"a": a, "b": b, "by": by, **_summary(compared, tokenizer is not None)}
        finally:
            compared.unpersist()
    result["documents"] |= {"in_a": set_a.count(), "in_b": set_b.count()}
    return {**result, "lines": _lines(result)}


def _checked(tokenizer: str) -> str:
    try:
        return str(ByteTokenizer.load(tokenizer).path.absolute())
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"--tokenizer: {error}") from error


def _prefixed(labels: "DataFrame", prefix: str) -> "DataFrame":
    names = [name for name in LABEL_SCHEMA.names if name != "doc_id"]
    return labels.select("doc_id", *(labels[name].alias(prefix + name) for name in names))


def _refuse_other_texts(compared: "DataFrame", a: str, b: str) -> None:
    other = compared.where("state = 'other_text'")
    count = other.count()
    if count:
        first = [row["doc_id"] for row in other.orderBy("doc_id").limit(1).collect()]
        raise InputError(
            f"label sets {a} and {b}: {count} documents, such as {first[0]}, were labelled with another text than the "
            "source has now (text_hash differs); label the source again"
        )


def _summary(compared: "DataFrame", with_tokens: bool) -> dict[str, Any]:
    """Figures of the whole and of every group, and the documents that differ most."""
    from pyspark.sql import functions as F

    sums = [F.sum(name).alias(name) for name in COUNTS]
    rows = compared.groupBy("unit", F.coalesce("group", F.lit("")).alias("group")).agg(*sums).collect()
    units = ("bytes", "tokens") if with_tokens else ("bytes",)
    states = {(row["unit"], row["state"]): row["count"] for row in compared.groupBy("unit", "state").count().collect()}
    differ = F.col("only_a") + F.col("only_b")
    worst = compared.where(F.col("unit") == units[-1]).where(differ > 0).orderBy(differ.desc(), "doc_id").limit(WORST)
    return {
        "documents": {
            "compared": states.get(("bytes", "compared"), 0),
            "untokenized": states.get(("tokens", "untokenized"), 0),
        },
        **{unit: _total(rows, unit).figures() for unit in units},
        "groups": {
            group: {unit: _total([row for row in rows if row["group"] == group], unit).figures() for unit in units}
            for group in sorted({row["group"] for row in rows})
        },
        "worst": [{"doc_id": row["doc_id"], **{name: row[name] for name in COUNTS}} for row in worst.collect()],
    }


def _total(rows: "list[Row]", unit: str) -> Agreement:
    return Agreement(**{name: sum(row[name] for row in rows if row["unit"] == unit) for name in COUNTS})


def _lines(result: dict[str, Any]) -> list[str]:
    """For the terminal: the whole, the largest groups, the documents to look at first."""
    seen, unit = result["documents"], "tokens" if "tokens" in result else "bytes"
    groups = sorted(result["groups"].items(), key=lambda item: -sum(item[1]["bytes"][name] for name in COUNTS))
    lines = [
        f"{result['a']} (A, {seen['in_a']} documents) against {result['b']} (B, {seen['in_b']}): {seen['compared']} "
        f"compared, {seen['untokenized']} not tokenized",
        *(_line(f"all {name}", result[name]) for name in ("bytes", "tokens") if name in result),
        *(_line(group or f"(no {result['by']})", figures[unit]) for group, figures in groups[:GROUPS_SHOWN]),
    ]
    if len(groups) > GROUPS_SHOWN:
        lines.append(f"{len(groups) - GROUPS_SHOWN} more groups, see --json")
    worst = [f"{one['doc_id']} ({one['only_a']} only A, {one['only_b']} only B)" for one in result["worst"]]
    return [*lines, f"most different by {unit}: " + ("; ".join(worst) or "none")]


def _line(name: str, figures: dict[str, Any]) -> str:
    shown = ("f1", "kappa", "precision", "recall", "share_a", "share_b")
    parts = [f"{key} {_number(figures[key])}" for key in shown]
    return "  ".join([f"{name:<32}", *parts, f"unknown {figures['unknown']:,}"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
