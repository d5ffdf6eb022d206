"""Parts a scored pass into what the scores table keeps and what the quarantine table names, without losing a row."""

from typing import TYPE_CHECKING, Any

from tokensieve.jobs.source.inspect_file import BrokenFile
from tokensieve.udfs.reading.fault_reasons import DUPLICATE_ID
from tokensieve.udfs.reading.text_rows import made_id

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FIRST = "_first"  # where an id has several rows: file and row of the first
QUARANTINE = ("source_file", "source_row", "doc_id", "reason", "detail")
PLACE = ("doc_id", "source_file", "source_row")


def duplicates(occurrences: "DataFrame") -> "DataFrame":
    """Ids that more than one row has, with the first of those rows (FIRST). Columns of `occurrences`: PLACE."""
    from pyspark.sql import functions as F

    first = F.min(F.struct("source_file", "source_row")).alias(FIRST)
    counted = occurrences.groupBy("doc_id").agg(F.count("*").alias("_copies"), first)
    return counted.where("_copies > 1").drop("_copies")


def _is_first() -> Any:
    from pyspark.sql import functions as F

    first = F.col(FIRST)
    return (F.col("source_file") == first["source_file"]) & (F.col("source_row") == first["source_row"])


def without_duplicates(rows: "DataFrame", doubled: "DataFrame") -> "DataFrame":
    """Of rows with equal ids the first."""
    from pyspark.sql import functions as F

    joined = rows.join(F.broadcast(doubled), "doc_id", "left")
    return joined.where(F.col(FIRST).isNull() | _is_first()).drop(FIRST)


def later_copies(occurrences: "DataFrame", doubled: "DataFrame") -> "DataFrame":
    """Rows with equal ids but the first, as the quarantine table names them."""
    from pyspark.sql import functions as F

    detail = F.concat_ws("", F.lit("first seen in "), f"{FIRST}.source_file", F.lit(" row "), f"{FIRST}.source_row")
    later = occurrences.join(F.broadcast(doubled), "doc_id").where(~_is_first())
    return later.withColumn("reason", F.lit(DUPLICATE_ID)).withColumn("detail", detail).select(*QUARANTINE)


def unscored(scored: "DataFrame", broken: tuple[BrokenFile, ...]) -> "DataFrame":
    """Rows that could not be scored and files that could not be read, as the quarantine table names them."""
    files = scored.sparkSession.createDataFrame(
        [(one.name, None, made_id(one.name, -1), one.reason, one.detail[:1000]) for one in broken],
        "source_file string, source_row bigint, doc_id string, reason string, detail string",
    )
    return scored.where("reason is not null").select(*QUARANTINE).unionByName(files)


def reason_counts(quarantine: "DataFrame") -> dict[str, int]:
    """Quarantined documents by reason, most frequent first."""
    rows = quarantine.groupBy("reason").count().collect()
    return {row["reason"]: row["count"] for row in sorted(rows, key=lambda row: (-row["count"], row["reason"]))}
