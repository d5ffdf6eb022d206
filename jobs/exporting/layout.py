"""Where a document goes: its split, its shard, its place there. All follow from hashes of its id and from the corpus's
size, never from the cluster or from the order of rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.errors import InputError
from jobs.exporting.config import LARGEST_SHARD, ExportConfig, SplitsConfig
from pretrain.shards.manifest import SPLITS, Split

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SMALLEST_SHARD = 64 * 2**20
WANTED_SHARDS = 1024  # Megatron blends fewer than 32,767 data sets, and lists of thousands are slow to open
_PARTS = 1_000_000  # shares are exact to one in a million


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many shards each split has; shards are numbered through, train first. `forget_bytes`: of all documents."""

    shards: dict[Split, int]
    forget_bytes: int

    @property
    def total(self) -> int:
        return sum(self.shards.values())

    def first(self, split: Split) -> int:
        """The number of the split's first shard."""
        return sum(self.shards[name] for name in SPLITS[: SPLITS.index(split)])

    def split_of(self, shard: int) -> Split:
        """The split that a shard belongs to."""
        return next(split for split in reversed(SPLITS) if self.shards[split] and shard >= self.first(split))


def shard_count(text_bytes: int, wanted: int | None) -> int:
    """How many shards so many bytes of text get."""
    size = wanted or min(max(text_bytes // WANTED_SHARDS, SMALLEST_SHARD), LARGEST_SHARD)
    return max(1, -(-text_bytes // size))


def measure(rows: "DataFrame", export: ExportConfig) -> Layout:
    """The layout of these documents (columns doc_id, text, forget_bytes). One pass over them.

    Raises InputError when a split that was asked for gets no document.
    """
    from pyspark.sql import functions as F

    totals = rows.groupBy(split_column(export.splits).alias("split")).agg(
        F.sum(F.octet_length("text")).alias("text_bytes"), F.sum("forget_bytes").alias("forget_bytes")
    )
    found = {row["split"]: row for row in totals.collect()}
    for split in ("valid", "test"):
        if getattr(export.splits, split) and split not in found:
            raise InputError(
                f"export.splits.{split}: a share of {getattr(export.splits, split)} of so few documents is none of "
                "them; take a larger share or another export.splits.seed"
            )
    return Layout(
        shards={
            split: shard_count(found[split]["text_bytes"], export.shard_text_bytes) if split in found else 0
            for split in SPLITS
        },
        forget_bytes=sum(row["forget_bytes"] for row in found.values()),
    )


def split_column(splits: SplitsConfig) -> "Column":
    """The split of each row, by its doc_id and the splits' seed."""
    from pyspark.sql import functions as F

    part = F.pmod(F.xxhash64(F.lit("split"), F.lit(splits.seed), F.col("doc_id")), F.lit(_PARTS))
    test = round(splits.test * _PARTS)
    valid = test + round(splits.valid * _PARTS)
    return F.when(part < test, F.lit("test")).when(part < valid, F.lit("valid")).otherwise(F.lit("train"))


def ordered(rows: "DataFrame", layout: Layout, export: ExportConfig) -> "DataFrame":
    """One partition per shard (column `shard`), its documents in the order of their hash."""
    from pyspark.sql import functions as F

    order, split = F.xxhash64(F.lit(export.seed), F.col("doc_id")), split_column(export.splits)
    shard: Column = F.lit(None).cast("int")
    for name, count in layout.shards.items():
        if count:
            at = F.pmod(F.col("order"), F.lit(count)).cast("int") + F.lit(layout.first(name))
            shard = F.when(split == name, at).otherwise(shard)
    placed = rows.withColumn("order", order).withColumn("shard", shard)
    return placed.repartitionById(layout.total, F.col("shard")).sortWithinPartitions(
        "shard", "order", "doc_id", "source_file", "source_row"
    )
