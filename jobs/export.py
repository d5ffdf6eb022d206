"""Verb `export`: table `masked` in, Megatron shards with a loss mask out, `manifest.json` last.

Each task writes whole shards to a staging folder; the driver renames what the winning attempts report, so retries and
killed runs leave nothing in a manifest. Order and shard follow from a hash of (doc_id, seed): same table, same bytes.
Also an application: spark-submit jobs/export.py.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import BalanceError, ConfigError, InputError
from jobs.mask import counts as masked_counts
from jobs.mask import load_rules
from jobs.presets import find
from pretrain.hashed_file import file_sha256
from pretrain.shards.manifest import Inputs, Manifest, ShardInfo, TokenizerInfo
from pretrain.shards.shard import SUFFIXES, ShardWriter, shard_file, token_dtype
from udfs.pretrain_tokens import pretrain_tokens
from udfs.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config import Config

SMALLEST_SHARD = 64 * 2**20
LARGEST_SHARD = 4 * 2**30
WANTED_SHARDS = 1024  # Megatron blends fewer than 32,767 data sets, and lists of thousands are slow to open
DOCS_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string()),
        pa.field("index", pa.int64()),
        pa.field("doc_id", pa.string()),
        pa.field("source_file", pa.string()),
        pa.field("source_row", pa.int64()),
    ]
)


class ExportConfig(BaseModel):
    """Section `export`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str | None = None
    """The pretraining tokenizer: a tokenizer.json or a *.tiktoken file (a path, or a file in `conf/`)."""
    eod: str = "<|endoftext|>"
    """The tokenizer's end-of-document token."""
    hidden: str = "<|hidden|>"
    """The token that replaces hidden ones; where the tokenizer lacks it, the first id after its vocabulary."""
    pad_vocabulary_to: int = Field(default=128, ge=1)
    """The padded vocabulary is a multiple of this (times the tensor-parallel size of the training run)."""
    shard_text_bytes: int | None = Field(default=None, ge=1)
    """UTF-8 bytes of text per shard; None: 64 MiB, more for a large corpus (about 1,024 shards, at most 4 GiB)."""
    seed: int = 0
    """Of the order of documents."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """What a task needs to write its shards."""

    staging: str
    tokenizer: str
    info: TokenizerInfo
    hiding: frozenset[str]


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Exports the masked table and returns the counts. The same export again changes nothing but times of files.

    Raises ConfigError, InputError, BalanceError.
    """
    masked = masked_counts(config.tables, spark)
    tokenizer, info = tokenizer_info(config.export)
    rules = load_rules(config.tables, masked["rule_id"])
    folder = config.tables.shards
    staging = folder / f"_staging-{uuid.uuid4().hex}"
    task = ShardTask(
        staging=str(staging),
        tokenizer=str(tokenizer.path.absolute()),
        info=info,
        hiding=frozenset(name for name, entry in rules.policies.items() if entry.rule.action == "hide"),
    )
    for leftover in folder.glob("_staging-*"):  # of an export that was killed
        shutil.rmtree(leftover)
    try:
        staging.mkdir(parents=True)
        written = _write(config, spark, task)
        shards = [_publish(folder, Path(one["prefix"]), one) for one in sorted(written, key=lambda one: one["at"])]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    shutil.copyfile(tokenizer.path, folder / info.file)
    manifest = Manifest(
        tokenizer=info,
        shards=tuple(shards),
        inputs=Inputs(
            rule_id=masked["rule_id"],
            policies={name: entry.definition_id for name, entry in rules.policies.items()},
            bundles={name: entry.bundle_id for name, entry in rules.policies.items()},
            source_table={"path": "masked", "format": config.tables.format, "version": masked["batch"]},
            seed=config.export.seed,
        ),
        documents=sum(shard.documents for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        loss_tokens=sum(shard.loss_tokens for shard in shards),
    )
    _check_balance(manifest, masked["documents"])
    manifest.save(folder)
    _sweep(folder, manifest)
    return {
        "manifest": manifest.id,
        "shards": len(shards),
        "tokens": manifest.tokens,
        "loss_tokens": manifest.loss_tokens,
        "documents": masked["documents"],
        "exported": manifest.documents,
    }


def tokenizer_info(export: ExportConfig) -> tuple[ByteTokenizer, TokenizerInfo]:
    """The pretraining tokenizer and what the manifest says of it. Raises ConfigError, InputError."""
    if export.tokenizer is None:
        raise ConfigError("export.tokenizer is not set: name the pretraining tokenizer's file")
    try:
        tokenizer = ByteTokenizer.load(find(export.tokenizer))
    except ValueError as error:
        raise InputError(f"export.tokenizer: {error}") from error
    eod = tokenizer.token_id(export.eod)
    if eod is None:
        raise ConfigError(f"export.eod: {export.tokenizer} has no token {export.eod!r}; name its end-of-text token")
    hidden = tokenizer.token_id(export.hidden)
    hidden_id = tokenizer.vocab_size if hidden is None else hidden
    if hidden_id == eod:
        raise ConfigError(f"export.hidden and export.eod are both token {eod}")
    used, unit = max(tokenizer.vocab_size, hidden_id + 1), export.pad_vocabulary_to
    return tokenizer, TokenizerInfo(
        file=tokenizer.path.name,
        sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        eod=eod,
        hidden_id=hidden_id,
        padded_vocab_size=-(-used // unit) * unit,
    )


def shard_count(text_bytes: int, wanted: int | None) -> int:
    """How many shards a corpus of so many bytes of text gets: a function of the corpus, never of the cluster."""
    size = wanted or min(max(text_bytes // WANTED_SHARDS, SMALLEST_SHARD), LARGEST_SHARD)
    return max(1, -(-text_bytes // size))


def _write(config: "Config", spark: "SparkSession", task: ShardTask) -> list[dict[str, Any]]:
    """Runs the tasks; returns one report per shard, as the attempts that Spark took for the result gave them."""
    rows = config.tables.table("masked").read(spark).where("action != 'drop'")
    text_bytes = rows.selectExpr("sum(octet_length(text)) as bytes").first()
    count = shard_count((text_bytes["bytes"] if text_bytes else 0) or 0, config.export.shard_text_bytes)
    ordered = _ordered(rows, count, config.export.seed)
    reports = ordered.mapInArrow(partial(write_shards, task), schema="report string").collect()
    return [json.loads(row["report"]) for row in reports]


def _ordered(rows: "DataFrame", shards: int, seed: int) -> "DataFrame":
    """One partition per shard, its documents in the order of their hash; both depend on doc_id and seed alone."""
    from pyspark.sql import functions as F

    order = F.xxhash64(F.lit(seed), F.col("doc_id"))
    needed = rows.select("doc_id", "text", "forget_spans", "source_file", "source_row", order.alias("order"))
    placed = needed.withColumn("shard", F.pmod("order", F.lit(shards)).cast("int"))
    return placed.repartitionById(shards, F.col("shard")).sortWithinPartitions("shard", "order", "doc_id")


def write_shards(task: ShardTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In an executor: writes each shard of the partition, rows sorted by shard, and reports it in one row."""
    tokenizer = _worker_tokenizer(task.tokenizer)
    shard: _OpenShard | None = None
    reports: list[str] = []
    for part in (part for batch in batches for part in _by_shard(batch)):
        at = part.column("shard")[0].as_py()
        if shard is None or shard.at != at:
            reports += [shard.close()] if shard else []
            shard = _OpenShard(task, at)
        shard.add(part, tokenizer)
    reports += [shard.close()] if shard else []
    yield pa.RecordBatch.from_pydict({"report": pa.array(reports, pa.string())})


@lru_cache(maxsize=2)
def _worker_tokenizer(path: str) -> ByteTokenizer:
    return ByteTokenizer.load(path)


def _by_shard(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of one shard each; rows come sorted by shard."""
    shard_D = batch.column("shard").to_numpy()
    cuts = [0, *(np.flatnonzero(np.diff(shard_D)) + 1).tolist(), len(shard_D)]
    for start, end in pairwise(cuts):
        if end > start:
            yield batch.slice(start, end - start)


class _OpenShard:
    """A shard while one attempt of a task writes it, in a folder of that attempt's own."""

    def __init__(self, task: ShardTask, at: int) -> None:
        self.at = at
        self._task = task
        self._prefix = Path(task.staging) / uuid.uuid4().hex / f"shard-{at:05d}"
        self._writer = ShardWriter(self._prefix, token_dtype(max(task.info.vocab_size, task.info.hidden_id + 1)))
        self._docs: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch, tokenizer: ByteTokenizer) -> None:
        info = self._task.info
        tokens = pretrain_tokens(tokenizer, batch, self._task.hiding, info.eod, info.hidden_id)
        self._writer.add(tokens.ids_T, tokens.loss_mask_T, tokens.lengths_D)
        self._docs.append(batch.select(["doc_id", "source_file", "source_row"]))

    def close(self) -> str:
        """Finishes the files; returns the report, JSON. The shard's name holds a hash of its content."""
        stats = self._writer.close()
        content = hashlib.sha256("".join(stats.sha256[suffix] for suffix in SUFFIXES).encode()).hexdigest()
        name = f"{self._prefix.name}-{content[:12]}"
        docs = pa.Table.from_batches(self._docs)
        docs = docs.add_column(0, "index", pa.array(range(docs.num_rows), pa.int64()))
        docs = docs.add_column(0, "shard", pa.repeat(pa.scalar(name), docs.num_rows))
        file = shard_file(self._prefix, ".docs.parquet")
        pq.write_table(docs.cast(DOCS_SCHEMA), file, compression="zstd")
        report = {"at": self.at, "prefix": str(self._prefix), "name": name, **asdict(stats)}
        report["sha256"]["docs"] = file_sha256(file)
        return json.dumps(report)


def _publish(folder: Path, staged: Path, report: dict[str, Any]) -> ShardInfo:
    """Renames one shard's files to their final names; visible, but part of nothing until the manifest names them."""
    name, docs = report["name"], f"docs/{report['name']}.parquet"
    (folder / "docs").mkdir(exist_ok=True)
    for suffix in SUFFIXES:
        os.replace(shard_file(staged, suffix), shard_file(folder / name, suffix))
    os.replace(shard_file(staged, ".docs.parquet"), folder / docs)
    keep = ("documents", "tokens", "loss_tokens", "sha256")
    return ShardInfo(prefix=name, docs=docs, **{key: report[key] for key in keep})


def _check_balance(manifest: Manifest, documents: dict[str, int]) -> None:
    expected = documents["keep"] + documents["mask"] + documents["hide"]
    if manifest.documents != expected:
        raise BalanceError(
            f"{manifest.documents} documents in the shards, {expected} in the masked table; export again"
        )


def _sweep(folder: Path, manifest: Manifest) -> None:
    """Removes shards of earlier exports that the new manifest does not name."""
    named = {shard.prefix for shard in manifest.shards}
    for file in [*folder.glob("shard-*.*"), *(folder / "docs").glob("shard-*.parquet")]:
        if file.name.removesuffix(".parquet").split(".")[0].removesuffix("_mask") not in named:
            file.unlink()


if __name__ == "__main__":
    from jobs.cli import application

    application("export")
