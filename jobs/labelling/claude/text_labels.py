"""Which texts of a source Claude is asked about, and how their labels become the label set of that source.

The sample are the texts of lowest hash, so the choice follows from content: readable rows only, equal texts are one
text. They come to the driver, which is the only one that asks: 128,000 documents of FineWeb-Edu (the paper's number)
are about 1 GB there. What came back is a small Parquet table that Spark joins, one row a text; it stays under `claude/`
below the tables' root for whoever looks. A document whose text was not asked about is unknown, with the reason; so is
one whose text nobody could read.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import JsonValue

from tokensieve.jobs.config.claude import SampleConfig
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.labelling.claude.fence import flags
from tokensieve.jobs.labelling.documents import Documents, write_table
from tokensieve.jobs.labelling.label_set import REVIEW, commit_labels
from tokensieve.udfs.labels.labels import DocumentLabels, encode_labels

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NOT_ASKED = "not_asked: outside the sample"
_BITS = 60


def sample(frame: "DataFrame", settings: SampleConfig) -> dict[str, str]:
    """Text by text hash, in the order of the sample, from a frame of DOCUMENT_SCHEMA.

    A text's place is the SHA-256 of the seed and its hash; `share` is a bound on that place, `limit` counts from its
    lowest. So a larger share or limit holds every smaller one, and what was paid for is asked about again for nothing.
    """
    from pyspark.sql import functions as F

    place = F.sha2(F.concat(F.lit(f"claude-sample/{settings.seed}/"), "text_hash"), 256)
    chosen = frame.where("note is null").select("text_hash", "text", place.alias("place"))
    if settings.share < 1:
        chosen = chosen.where(F.col("place") < f"{int(settings.share * 2**_BITS):0{_BITS // 4}x}")
    chosen = chosen.dropDuplicates(["text_hash"]).orderBy("place")
    if settings.limit is not None:
        chosen = chosen.limit(settings.limit)
    return {row["text_hash"]: row["text"] for row in chosen.select("text_hash", "text").toLocalIterator()}


def noted(text: str, reasons: Iterable[str]) -> str | None:
    """The note of a text: why it or a part of it is unknown, then what a person should look at; None for nothing."""
    found = flags(text)
    parts = [*dict.fromkeys(reasons), *([f"{REVIEW}: {', '.join(found)}"] if found else [])]
    return "; ".join(parts) or None


def publish(
    config: LabelConfig,
    spark: "SparkSession",
    name: str,
    source: Documents,
    labels: Mapping[str, DocumentLabels],
    settings: dict[str, JsonValue],
) -> dict[str, Any]:
    """Commits the label set `name` for every document of the source, from labels by text hash. Returns the counts."""
    file = write(config, name, labels)
    rows = _joined(source.frame, spark.read.parquet(str(file)))
    return commit_labels(config, spark, name, rows, source.count, {"source": source.versions, **settings})


def write(config: LabelConfig, name: str, labels: Mapping[str, DocumentLabels]) -> Path:
    """Writes labels by text hash as `claude/NAME.parquet`. Raises LabelError for spans out of order."""
    hashes = pa.array(list(labels), pa.string())
    table = pa.Table.from_batches([encode_labels(hashes, hashes, list(labels.values()))]).drop_columns(["doc_id"])
    file = config.tables.folder / "claude" / f"{name}.parquet"
    write_table(file, table)
    return file


def _joined(documents: "DataFrame", answers: "DataFrame") -> "DataFrame":
    """Rows of LABEL_SCHEMA: each document with its text's labels, or unknown as a whole with a note."""
    from pyspark.sql import functions as F

    answered = answers.withColumn("asked", F.lit(True)).withColumnRenamed("note", "answer_note")
    size = F.octet_length("text")
    whole = F.expr("array(named_struct('start', 0, 'end', octet_length(text)))")
    readable = F.col("note").isNull() & (size > 0)
    nothing = F.expr("cast(array() as array<struct<start: int, end: int>>)")
    no_spans = F.expr("cast(array() as array<struct<start: int, end: int, value: float>>)")
    return documents.join(F.broadcast(answered), "text_hash", "left").select(
        "doc_id",
        "text_hash",
        F.coalesce("spans", no_spans).alias("spans"),
        F.coalesce("unknown", F.when(readable, whole).otherwise(nothing)).alias("unknown"),
        "document",
        F.coalesce("note", "answer_note", F.when(F.col("asked").isNull(), NOT_ASKED)).alias("note"),
    )
