"""Writes and reads label sets: tables `labels/NAME`, whose commit says who labelled what by which policy."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import JsonValue

from tokensieve.jobs.errors import BalanceError, InputError, QuarantineError
from tokensieve.jobs.labelling.documents import documents
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.jobs.source.scan import Carried, spark_schema
from tokensieve.jobs.tables.table import Commit, Table
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.labels.labels import LABEL_SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.labelling import LabelConfig


REVIEW = "review"
"""The reason of a note that is only a hint for people: the document has its label. Any other says what is unknown."""
Labeller = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def label_table(config: "LabelConfig", name: str) -> Table:
    """The table of the label set `name`."""
    return config.tables.table(f"labels/{name}")


def label_source(
    config: "LabelConfig", spark: "SparkSession", name: str, label: Labeller, settings: dict[str, JsonValue]
) -> dict[str, Any]:
    """Runs a labeller (DOCUMENT_SCHEMA in, LABEL_SCHEMA out) over the source and commits the label set `name`.

    `settings` is all that the labels follow from besides source and policy: it goes into the commit and its name.
    Returns the counts. Raises InputError, BalanceError when rows were lost on the way.
    """
    return label_frame(config, spark, name, lambda frame: in_arrow(frame, label), settings)


def label_frame(
    config: "LabelConfig",
    spark: "SparkSession",
    name: str,
    label: Callable[["DataFrame"], "DataFrame"],
    settings: dict[str, JsonValue],
    carried: Carried = (),
) -> dict[str, Any]:
    """`label_source` for a labeller that is a DataFrame's transformation: joins, or columns of the source besides.

    `carried` are the source's columns that its frame needs, see `documents`.
    """
    with documents(config.source, spark, carried) as source:
        return commit_labels(
            config, spark, name, label(source.frame), source.count, {"source": source.versions, **settings}
        )


def in_arrow(frame: "DataFrame", label: Labeller) -> "DataFrame":
    """Runs a labeller over a frame that has at least the columns of DOCUMENT_SCHEMA."""
    return frame.mapInArrow(label, schema=spark_schema(LABEL_SCHEMA))


def commit_labels(
    config: "LabelConfig",
    spark: "SparkSession",
    name: str,
    rows: "DataFrame",
    expected: int,
    settings: dict[str, JsonValue],
) -> dict[str, Any]:
    """Writes rows of LABEL_SCHEMA as the label set `name` and counts what was written.

    The rows are held on disk and counted before they are published: what does not balance replaces nothing.
    Raises BalanceError unless there are `expected` rows, each with its own document id.
    """
    from pyspark import StorageLevel

    table = label_table(config, name)
    held = rows.select(*LABEL_SCHEMA.names).persist(StorageLevel.DISK_ONLY)
    try:
        _check_balance(held, table, expected)
        table.replace(held, labels_commit(config, name, settings, expected))
        table.forget_old()
    finally:
        held.unpersist()
    return _counts(table, spark, expected)


def refuse_misfits(table: str, misfits: dict[str, int], of: int, tolerance: float, key: str) -> None:
    """Raises QuarantineError when the misfits, counted by reason, are more than `tolerance` of so many.

    The label set is written by then; `key` is the setting that holds the tolerance.
    """
    if sum(misfits.values()) > tolerance * of:
        raise QuarantineError(
            f"{table}: {sum(misfits.values())} of {of} could not be labelled ({misfits}), above {key}={tolerance}; the "
            "label set is written, see its column `note`; mend what was given, or label the source again"
        )


def labels_commit(config: "LabelConfig", name: str, settings: dict[str, JsonValue], expected: int) -> Commit:
    """What the commit of a label set says."""
    definition = load_definition(config.policy)
    inputs: dict[str, JsonValue] = {
        "labeller": name,
        "policy": definition.name,
        "definition_id": definition.definition_id,
        **settings,
    }
    return Commit(batch=content_id(inputs), inputs=inputs, counts={"in": expected})


def label_batch(config: "LabelConfig", spark: "SparkSession", name: str) -> str | None:
    """What names the content of the label set `name`, None where there is none."""
    commit = label_table(config, name).commit()
    return None if commit is None else commit.batch


def read_labels(config: "LabelConfig", spark: "SparkSession", name: str) -> "DataFrame":
    """The label set `name`. Raises InputError: it is missing, or was made by another policy."""
    table = label_table(config, name)
    commit = table.commit()
    if commit is None:
        raise InputError(f"{table.uri}: no label set {name!r}; run the `tokensieve label` verb that makes it")
    definition = load_definition(config.policy)
    if commit.inputs.get("definition_id") != definition.definition_id:
        raise InputError(
            f"{table.uri}: labelled by policy {commit.inputs.get('policy')} ({commit.inputs.get('definition_id')}), "
            f"but this project's policy is {definition.name} ({definition.definition_id}); label again"
        )
    return table.read(spark)


def _check_balance(rows: "DataFrame", table: Table, expected: int) -> None:
    from pyspark.sql import functions as F

    per_id = rows.groupBy("doc_id").count()
    row = per_id.agg(F.sum("count").alias("rows"), F.count("doc_id").alias("ids")).first()
    assert row is not None
    if (row["rows"] or 0) == expected == row["ids"]:
        return
    twice = [one["doc_id"] for one in per_id.where("count > 1").orderBy("doc_id").limit(3).collect()]
    raise BalanceError(
        f"{table.uri}: {expected} documents listed, but the labeller gave {row['rows'] or 0} rows with {row['ids']} "
        f"different ids (more than once: {', '.join(map(str, twice)) or 'none'}); nothing was published. Documents "
        "that share an id cannot be told apart by labels: make the ids of the source unique"
    )


def _counts(table: Table, spark: "SparkSession", expected: int) -> dict[str, Any]:
    """Counted from what was written. A document with a note, unless for review, is unknown, as a whole or in part."""
    from pyspark.sql import functions as F

    rows = table.read(spark)
    row = rows.agg(
        F.count("*").alias("rows"),
        F.count_if(F.col("note").isNotNull() & ~F.col("note").startswith(f"{REVIEW}: ")).alias("unknown"),
        F.count_if(F.size("spans") > 0).alias("with_spans"),
    ).first()
    assert row is not None
    if row["rows"] != expected:
        raise BalanceError(f"{table.uri}: {row['rows']} rows were written of {expected}; label again")
    reason = F.regexp_extract("note", r"^(\w+):", 1)
    reasons = rows.where("note is not null").groupBy(reason.alias("reason")).count().collect()
    return {
        "table": table.uri,
        "documents": {"in": expected, "labelled": expected - row["unknown"], "unknown": row["unknown"]},
        "with_forget_spans": row["with_spans"],
        "reasons": {one["reason"] or "other": one["count"] for one in sorted(reasons, key=lambda one: one["reason"])},
    }
