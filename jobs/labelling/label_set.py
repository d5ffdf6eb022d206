"""Writes and reads label sets: tables `labels/NAME`, whose commit says who labelled what by which policy."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import JsonValue

from jobs.errors import BalanceError, InputError
from jobs.labelling.config import LabelConfig
from jobs.labelling.documents import documents
from jobs.policies import content_id, load_definition
from jobs.scoring.scan import spark_schema
from jobs.tables import Commit, Table
from udfs.labels import LABEL_SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Labeller = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def label_table(config: LabelConfig, name: str) -> Table:
    """The table of the label set `name`."""
    return config.tables.table(f"labels/{name}")


def label_source(
    config: LabelConfig, spark: "SparkSession", name: str, label: Labeller, settings: dict[str, JsonValue]
) -> dict[str, Any]:
    """Runs a labeller (DOCUMENT_SCHEMA in, LABEL_SCHEMA out) over the source and commits the label set `name`.

    `settings` is all that the labels follow from besides source and policy: it goes into the commit and its name.
    Returns the counts. Raises InputError, BalanceError when rows were lost on the way.
    """
    with documents(config.source, spark) as source:
        rows = source.frame.mapInArrow(label, schema=spark_schema(LABEL_SCHEMA))
        return commit_labels(config, spark, name, rows, source.count, {"source": source.versions, **settings})


def commit_labels(
    config: LabelConfig,
    spark: "SparkSession",
    name: str,
    rows: "DataFrame",
    expected: int,
    settings: dict[str, JsonValue],
) -> dict[str, Any]:
    """Writes rows of LABEL_SCHEMA as the label set `name` and counts what was written.

    Raises BalanceError unless there are `expected` rows, each with its own document id.
    """
    table = label_table(config, name)
    table.replace(rows, labels_commit(config, name, settings, expected))
    return _counts(table, spark, expected)


def labels_commit(config: LabelConfig, name: str, settings: dict[str, JsonValue], expected: int) -> Commit:
    """What the commit of a label set says."""
    definition = load_definition(config.policy)
    inputs: dict[str, JsonValue] = {
        "labeller": name,
        "policy": definition.name,
        "definition_id": definition.definition_id,
        **settings,
    }
    return Commit(batch=content_id(inputs), inputs=inputs, counts={"in": expected})


def read_labels(config: LabelConfig, spark: "SparkSession", name: str) -> "DataFrame":
    """The label set `name`. Raises InputError: it is missing, or was made by another policy."""
    table = label_table(config, name)
    commit = table.commit(spark)
    if commit is None:
        raise InputError(f"{table.path}: no label set {name!r}; run the `tokensieve label` verb that makes it")
    definition = load_definition(config.policy)
    if commit.inputs.get("definition_id") != definition.definition_id:
        raise InputError(
            f"{table.path}: labelled by policy {commit.inputs.get('policy')} ({commit.inputs.get('definition_id')}), "
            f"but this project's policy is {definition.name} ({definition.definition_id}); label again"
        )
    return table.read(spark)


def _counts(table: Table, spark: "SparkSession", expected: int) -> dict[str, Any]:
    from pyspark.sql import functions as F

    rows = table.read(spark)
    row = rows.agg(
        F.count("*").alias("rows"),
        F.count_distinct("doc_id").alias("ids"),
        F.count("note").alias("noted"),
        F.sum((F.size("spans") > 0).cast("long")).alias("with_spans"),
    ).first()
    assert row is not None
    if row["rows"] != expected or row["ids"] != expected:
        raise BalanceError(
            f"{table.path}: {expected} documents listed, but {row['rows']} rows with {row['ids']} different ids were "
            "written; documents that share an id cannot be told apart by labels: make the ids of the source unique"
        )
    counts = {"in": expected, "labelled": expected - row["noted"], "unknown": row["noted"]}
    return {"table": str(table.path), "documents": counts, "with_forget_spans": row["with_spans"] or 0}
