"""Verb `label coarse`: what is said of a whole document becomes the label of all its bytes (arXiv 2601.21571).

The label comes from a column, of the source or of a sidecar keyed by id, or from finer labels such as sentences, copied
up where they cover enough of the text. No label, a distrusted one or an undecided share leave the document unknown.
"""

import os
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.labelling import CoarseConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.label_set import label_batch, label_frame, read_labels, refuse_misfits

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from tokensieve.jobs.config.labelling import LabelConfig


POSITIVE = 0.5  # a span or document at or above it is "forget"
MISFITS = ("no_label", "other_text")


def run(config: "LabelConfig", spark: "SparkSession") -> dict[str, Any]:
    """Writes the label set and returns the counts. Raises ConfigError, InputError, BalanceError, QuarantineError."""
    from tokensieve.jobs.config.labelling import section

    coarse = section(config, "coarse", CoarseConfig)
    apart = {"name", "sidecar", "misfit_tolerance"}  # no part of what the labels follow from
    settings: dict[str, Any] = {"coarse": coarse.model_dump(mode="json", exclude=apart)}
    carried: tuple[tuple[str, str], ...] = ()
    judged = None
    if coarse.label_set is not None:
        judged = _copied_up(read_labels(config, spark, coarse.label_set))
        settings["label_batch"] = label_batch(config, spark, coarse.label_set)
    elif coarse.sidecar is not None:
        judged = _sidecar(spark, coarse)
        settings["sidecar_content"] = _content(judged)
    else:
        columns = {"label": coarse.column, "borderline": coarse.borderline}
        carried = tuple((name, column) for name, column in columns.items() if column is not None)

    def label(frame: "DataFrame") -> "DataFrame":
        return _labelled(frame if judged is None else frame.join(judged, "doc_id", "left"), coarse)

    result = label_frame(config, spark, coarse.name, label, settings, carried)
    misfits = {reason: result["reasons"].get(reason, 0) for reason in MISFITS}
    of, tolerance = result["documents"]["in"], coarse.misfit_tolerance
    refuse_misfits(result["table"], misfits, of, tolerance, "coarse.misfit_tolerance")
    return result


def _sidecar(spark: "SparkSession", coarse: CoarseConfig) -> "DataFrame":
    """doc_id, label, borderline. Raises InputError: no such file or column, two rows of one id."""
    from pyspark.errors import AnalysisException
    from pyspark.sql import functions as F

    columns = {"doc_id": coarse.sidecar_id, "label": coarse.column, "borderline": coarse.borderline}
    try:
        rows = spark.read.parquet(os.path.abspath(str(coarse.sidecar)))
    except AnalysisException as error:
        raise InputError(f"coarse.sidecar: {coarse.sidecar} cannot be read as Parquet: {error}") from error
    for name in columns.values():
        if name is not None and name not in rows.columns:
            raise InputError(f"coarse.sidecar: {coarse.sidecar} has no column {name!r}: {', '.join(rows.columns)}")
    rows = rows.select(*(rows[column].alias(name) for name, column in columns.items() if column is not None))
    rows = rows.withColumn("doc_id", F.col("doc_id").cast("string"))
    twice = rows.groupBy("doc_id").count().where("count > 1").orderBy("doc_id").first()
    if twice is not None:
        raise InputError(f"coarse.sidecar: {coarse.sidecar} has {twice['count']} rows of document {twice['doc_id']}")
    return rows


def _content(rows: "DataFrame") -> list[int]:
    """Names the rows, whatever their order: their number and the exclusive or of their hashes."""
    from pyspark.sql import functions as F

    row = rows.agg(F.count("*").alias("rows"), F.bit_xor(F.xxhash64(*rows.columns)).alias("hash")).first()
    assert row is not None
    return [row["rows"], row["hash"] or 0]


def _copied_up(finer: "DataFrame") -> "DataFrame":
    """Per document of a label set: its text's hash, and the bytes that are forgotten and unknown."""
    from pyspark.sql import functions as F

    total = "aggregate({column}, 0L, (sum, one) -> sum + if({when}, one.end - one.start, 0))"
    return finer.select(
        "doc_id",
        F.col("text_hash").alias("finer_hash"),
        F.expr(total.format(column="spans", when=f"one.value >= {POSITIVE}")).alias("forget_bytes"),
        F.expr(total.format(column="unknown", when="true")).alias("unknown_bytes"),
    )


def _labelled(frame: "DataFrame", coarse: CoarseConfig) -> "DataFrame":
    """Rows of LABEL_SCHEMA from documents and what is said of them."""
    from pyspark.sql import functions as F

    positive, why = _by_share(coarse) if coarse.label_set is not None else _by_column(coarse)
    noted = frame.withColumn("note", F.coalesce("note", why))
    known, some = F.col("note").isNull(), F.octet_length("text") > 0
    start, end = F.lit(0).alias("start"), F.octet_length("text").alias("end")
    forget, hole = F.struct(start, end, F.lit(1.0).alias("value")), F.struct(start, end)
    return noted.select(
        "doc_id",
        "text_hash",
        _only_if(known & positive & some, forget, "array<struct<start:int,end:int,value:float>>").alias("spans"),
        _only_if(~known & some, hole, "array<struct<start:int,end:int>>").alias("unknown"),
        F.when(known, positive.cast("float")).alias("document"),
        "note",
    )


def _only_if(condition: "Column", item: "Column", type: str) -> "Column":
    from pyspark.sql import functions as F

    return F.when(condition, F.array(item).cast(type)).otherwise(F.array().cast(type))


def _by_column(coarse: CoarseConfig) -> "tuple[Column, Column]":
    """Whether the document is positive, and why that is unknown (null: it is known)."""
    from pyspark.sql import functions as F

    label = F.col("label").cast("string")
    doubtful = F.coalesce(F.col("borderline").cast("boolean"), F.lit(True)) if coarse.borderline else F.lit(False)
    missing = F.lit(f"no_label: the document has no {coarse.column} in {coarse.sidecar or 'the source'}")
    why = F.when(label.isNull(), missing).when(doubtful, F.lit(f"borderline: {coarse.borderline} distrusts the label"))
    return label.isin(*coarse.positive), why


def _by_share(coarse: CoarseConfig) -> "tuple[Column, Column]":
    """The same from the bytes of a finer label set; unknown bytes matter where they could decide."""
    from pyspark.sql import functions as F

    needed = F.octet_length("text") * F.lit(coarse.share)
    forget, unknown = F.col("forget_bytes"), F.col("unknown_bytes")
    positive = (forget > 0) & (forget >= needed)
    undecided = (unknown > 0) & ~positive & (forget + unknown >= needed)
    why = (
        F.when(forget.isNull(), F.lit(f"no_label: the document is not in the label set {coarse.label_set}"))
        .when(~F.col("finer_hash").eqNullSafe(F.col("text_hash")), F.lit(f"other_text: {coarse.label_set} labelled it"))
        .when(undecided, F.concat(F.lit("undecided: "), unknown, F.lit(f" bytes are unknown in {coarse.label_set}")))
    )
    return positive, why
