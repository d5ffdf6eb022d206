"""Reads a report's counts from the tables, in a few scans that Spark runs; only sums come to the driver.

Counts are read back from what was written, never carried over from a verb's memory. Tokens by source are counted from
the loss masks of the shards, one task per shard.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs.exporting.read_back import Shards
from tokensieve.jobs.pages.corpus.facts import ExportFacts, ScoreCounts, SourceFacts, TableVersion
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.table import Commit, Table
from tokensieve.pretrain.shards.manifest import inside
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.udfs.scores.count_scores import HISTOGRAM_SCHEMA, count_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LARGEST_SOURCES = 50


def table_version(table: Table, commit: Commit) -> TableVersion:
    """A table's commit and when it was made."""
    written = datetime.fromtimestamp(table.committed_at(commit), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return TableVersion(name=table.name, batch=commit.batch, written=written)


def score_counts(scores: "DataFrame", policies: list[str]) -> dict[str, ScoreCounts]:
    """Every policy's histograms, in one scan of the score columns."""
    counted = scores.select(*policies).mapInArrow(partial(count_scores, policies), schema=HISTOGRAM_SCHEMA).collect()
    return {policy: _sum([row for row in counted if row["policy"] == policy]) for policy in policies}


def _sum(rows: list[Any]) -> ScoreCounts:
    def total(column: str) -> np.ndarray:
        flat = np.frombuffer(b"".join(bytes(row[column]) for row in rows), dtype="<i8")
        return flat.reshape(-1, 256).sum(axis=0)

    return ScoreCounts(
        tokens_B=total("tokens"), documents_B=total("documents"), unscored=sum(row["unscored"] for row in rows)
    )


def source_facts(
    tables: TablesConfig, spark: "SparkSession", shards: Shards | None
) -> tuple[SourceFacts, tuple[SourceFacts, ...], int]:
    """The sum over all source files, the largest files by bytes of text, and how many files there are."""
    from pyspark.sql import functions as F

    by_file = (
        tables.table("masked")
        .read(spark)
        .groupBy("source_file")
        .agg(
            F.count("*").alias("documents"),
            F.count_if(F.col("action") == "drop").alias("dropped"),
            F.count_if(F.col("action") != "keep").alias("touched"),
            F.coalesce(F.sum(F.octet_length("text")), F.lit(0)).alias("text_bytes"),
            F.coalesce(F.sum("forget_bytes"), F.lit(0)).alias("forget_bytes"),
        )
    )
    if shards is not None:
        by_file = by_file.join(_tokens_by_file(shards, spark), "source_file", "left")
    else:
        by_file = by_file.withColumns({"tokens": F.lit(None), "loss_tokens": F.lit(None)})
    by_file = by_file.persist()
    try:
        summed = [name for name in by_file.columns if name != "source_file"]
        total = by_file.agg(F.count("*").alias("files"), *(F.sum(name).alias(name) for name in summed)).collect()[0]
        largest = by_file.orderBy(F.desc("text_bytes"), "source_file").limit(LARGEST_SOURCES).collect()
    finally:
        by_file.unpersist()
    exported = shards is not None
    return _facts(None, total, exported), tuple(_facts(r["source_file"], r, exported) for r in largest), total["files"]


def _facts(file: str | None, row: Any, exported: bool) -> SourceFacts:
    names = ("documents", "dropped", "touched", "text_bytes", "forget_bytes")
    counts = {name: row[name] or 0 for name in names}
    tokens = {name: row[name] or 0 for name in ("tokens", "loss_tokens")} if exported else {}
    return SourceFacts(file=file, **counts, **tokens)


def _tokens_by_file(shards: Shards, spark: "SparkSession") -> "DataFrame":
    from pyspark.sql import functions as F

    schema = "source_file string, tokens bigint, loss_tokens bigint"
    listed = shards.manifest.shards
    if not listed:
        return spark.createDataFrame([], schema)
    files = [(str(inside(shards.folder, one.prefix)), str(inside(shards.folder, one.docs))) for one in listed]
    numbers = spark.range(0, len(files), 1, numPartitions=len(files))
    rows = numbers.mapInArrow(partial(count_tokens, files), schema=schema)
    return rows.groupBy("source_file").agg(F.sum("tokens").alias("tokens"), F.sum("loss_tokens").alias("loss_tokens"))


def count_tokens(files: list[tuple[str, str]], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In an executor: tokens and loss-bearing tokens by source file of the shards whose numbers come in `id`.

    `files` holds prefix and document index of every shard. Raises CorruptShardError.
    """
    for number in (number for batch in batches for number in batch.column("id").to_pylist()):
        prefix, docs = files[number]
        reader = ShardReader(Path(prefix))
        source_D = pq.read_table(docs, columns=["source_file"]).column("source_file").combine_chunks()
        loss_D = np.add.reduceat(reader.loss_mask_T, reader.starts_D, dtype=np.int64)
        tokens_D = reader.lengths_D.astype(np.int64)  # a copy: Arrow wants aligned memory, the mapped file is not
        counts = pa.table({"source_file": source_D, "tokens": tokens_D, "loss_tokens": loss_D})
        summed = counts.group_by("source_file").aggregate([("tokens", "sum"), ("loss_tokens", "sum")])
        ordered = summed.select(["source_file", "tokens_sum", "loss_tokens_sum"])
        yield from ordered.rename_columns(["source_file", "tokens", "loss_tokens"]).to_batches()


def export_facts(shards: Shards, masked_batch: str) -> ExportFacts:
    """What the manifest says."""
    manifest = shards.manifest
    return ExportFacts(
        manifest_id=manifest.id,
        tokenizer=manifest.tokenizer.file,
        tokenizer_sha256=manifest.tokenizer.sha256,
        shards=len(manifest.shards),
        documents=manifest.documents,
        tokens=manifest.tokens,
        loss_tokens=manifest.loss_tokens,
        seed=manifest.inputs.seed,
        stale=manifest.inputs.source_table.get("version") != masked_batch,
    )
