"""Where a document goes: its split, its shard, its place there. All follow from hashes of its id, from its group and
the group's size, never from the cluster or from the order of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from tokensieve.jobs.config.export import LARGEST_SHARD, SplitsConfig
from tokensieve.pretrain.shards.groups import Group
from tokensieve.pretrain.shards.manifest import SPLITS
from tokensieve.pretrain.shards.shard_info import Split

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SMALLEST_SHARD = 64 * 2**20
WANTED_SHARDS = 1024  # Megatron blends fewer than 32,767 data sets, and lists of thousands are slow to open
MEMBER = "_member"  # what a row belongs to: its source file
_PARTS = 1_000_000  # shares are exact to one in a million


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Documents, their UTF-8 bytes of text, and the bytes of them that are forgotten."""

    documents: int = 0
    text_bytes: int = 0
    forget_bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            documents=self.documents + other.documents,
            text_bytes=self.text_bytes + other.text_bytes,
            forget_bytes=self.forget_bytes + other.forget_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The place of one shard: `number` counts the shards of its group, train first."""

    group: str
    split: Split
    number: int

    @property
    def stem(self) -> str:
        """The shard's name without the hash of its content."""
        return f"shard-{self.group}-{self.number:03d}"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The shards that an export writes, in the order in which they are numbered through."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, counts: Mapping[str, Mapping[Split, int]]) -> Self:
        """From the number of shards that each group has of each split."""
        slots = []
        for group, by_split in counts.items():
            splits: list[Split] = [split for split in SPLITS for _ in range(by_split.get(split, 0))]
            slots += [Slot(group=group, split=split, number=number) for number, split in enumerate(splits)]
        return cls(slots=tuple(slots))

    @cached_property
    def runs(self) -> dict[tuple[str, Split], tuple[int, int]]:
        """The first shard of a group and split, and how many there are."""
        found: dict[tuple[str, Split], tuple[int, int]] = {}
        for at, slot in enumerate(self.slots):
            first, count = found.get((slot.group, slot.split), (at, 0))
            found[slot.group, slot.split] = (first, count + 1)
        return found


def shard_bytes(corpus_bytes: int, wanted: int | None) -> int:
    """Bytes of text of a shard in a corpus of so many."""
    return wanted or min(max(corpus_bytes // WANTED_SHARDS, SMALLEST_SHARD), LARGEST_SHARD)


def shard_count(text_bytes: int, size: int) -> int:
    """How many shards of about `size` so many bytes of text get."""
    return max(1, -(-text_bytes // size))


def layout_of(groups: Sequence[Group], amounts: Mapping[str, Mapping[Split, Amount]], size: int) -> Layout:
    """The layout of groups whose source files have these amounts of each split, in shards of about `size`."""
    counts: dict[str, dict[Split, int]] = {}
    for group in groups:
        text_bytes: dict[Split, int] = {}
        for split, amount in (entry for name in group.sources for entry in amounts.get(name, {}).items()):
            text_bytes[split] = text_bytes.get(split, 0) + amount.text_bytes
        counts[group.name] = {split: shard_count(found, size) for split, found in text_bytes.items()}
    return Layout.of(counts)


def measure(rows: "DataFrame", splits: SplitsConfig) -> dict[str, dict[Split, Amount]]:
    """What each member has in each split (columns MEMBER, doc_id, text, forget_bytes). One pass over the rows."""
    from pyspark.sql import functions as F

    totals = rows.groupBy(MEMBER, split_column(splits).alias("split")).agg(
        F.count("*").alias("documents"),
        F.sum(F.octet_length("text")).alias("text_bytes"),
        F.sum("forget_bytes").alias("forget_bytes"),
    )
    found: dict[str, dict[Split, Amount]] = {}
    for row in totals.toArrow().to_pylist():
        member, split = row.pop(MEMBER), row.pop("split")
        found.setdefault(member, {})[split] = Amount(**row)
    return found


def split_column(splits: SplitsConfig) -> "Column":
    """The split of each row, by its doc_id and the splits' seed."""
    from pyspark.sql import functions as F

    part = F.pmod(F.xxhash64(F.lit("split"), F.lit(splits.seed), F.col("doc_id")), F.lit(_PARTS))
    test = round(splits.test * _PARTS)
    valid = test + round(splits.valid * _PARTS)
    return F.when(part < test, F.lit("test")).when(part < valid, F.lit("valid")).otherwise(F.lit("train"))


def ordered(
    rows: "DataFrame", layout: Layout, group_of: Mapping[str, str], splits: SplitsConfig, seed: int
) -> "DataFrame":
    """One partition per shard (column `shard`), its documents in the order of their hash.

    `group_of`: the group of each member. Rows of other members, and of splits that their group has no shard of, are
    left out, which the balance of the export then shows.
    """
    from pyspark.sql import functions as F

    order = F.xxhash64(F.lit(seed), F.col("doc_id"))
    firsts = rows.sparkSession.createDataFrame(_firsts(layout, group_of))
    placed = rows.withColumn("_split", split_column(splits)).withColumn("order", order)
    placed = placed.join(F.broadcast(firsts), [MEMBER, "_split"])
    shard = F.col("_first") + F.pmod(F.col("order"), F.col("_count")).cast("int")
    placed = placed.withColumn("shard", shard).drop(MEMBER, "_split", "_first", "_count")
    return placed.repartitionById(len(layout.slots), F.col("shard")).sortWithinPartitions(
        "shard", "order", "doc_id", "source_file", "source_row"
    )


def _firsts(layout: Layout, group_of: Mapping[str, str]) -> pa.Table:
    """A row for each member and split: the first shard of its group there, and how many there are."""
    splits: dict[str, list[tuple[str, int, int]]] = {}
    for (group, split), (first, count) in layout.runs.items():
        splits.setdefault(group, []).append((split, first, count))
    rows = [(member, *run) for member, group in group_of.items() for run in splits.get(group, [])]
    types = {MEMBER: pa.string(), "_split": pa.string(), "_first": pa.int32(), "_count": pa.int32()}
    columns = zip(*rows) if rows else ((),) * len(types)
    return pa.table({name: pa.array(column, type) for (name, type), column in zip(types.items(), columns)})
