"""Packs splits into partitions of like work, measured in bytes of text: large row groups are cut, small files gathered.

The order of files and rows stays, and nothing but the listing, the target and the number of slots decides: a task that
runs again reads the same rows. A cut row group or compressed file is read from its beginning by each of its tasks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tokensieve.jobs.source.inspect_file import MOST_PASSES
from tokensieve.udfs.reading.split import Split

LEAST_BYTES = 64 * 2**10
"""Of text in a partition, before more partitions are made for slots that are idle."""
WAVES = 8
"""Partitions for each slot, if the text is short: the last ones to end leave less than an eighth of the time idle."""


def partitions(splits: Iterable[Split], *, target_bytes: int, slots: int) -> list[tuple[Split, ...]]:
    """Every row of the splits once, in their order, about `target_bytes` of text in each partition, or less."""
    splits = list(splits)
    size = partition_bytes(sum(split.text_bytes for split in splits), target_bytes=target_bytes, slots=slots)
    made: list[tuple[Split, ...]] = []
    gathered: list[Split] = []
    taken = 0
    for piece in (piece for split in splits for piece in _cut(split, size)):
        if gathered and taken + piece.text_bytes > size:
            made.append(tuple(gathered))
            gathered, taken = [], 0
        if gathered and _continues(piece, gathered[-1]):
            gathered[-1] = _joined(gathered[-1], piece)
        else:
            gathered.append(piece)
        taken += piece.text_bytes
    return [*made, tuple(gathered)] if gathered else made


def partition_bytes(total: int, *, target_bytes: int, slots: int) -> int:
    """Bytes of text in a partition: the target, or less where that would leave slots idle."""
    return max(min(target_bytes, -(-total // (WAVES * slots))), min(LEAST_BYTES, target_bytes))


def _cut(split: Split, size: int) -> Iterator[Split]:
    """A row group in runs of rows of about `size` bytes; runs of JSON lines are small as they come."""
    count = min(-(-split.text_bytes // size), split.rows, MOST_PASSES)
    if split.format != "parquet" or count <= 1:
        yield split
        return
    edges = [split.rows * at // count for at in range(count + 1)]
    for start, end in zip(edges, edges[1:]):
        yield replace(
            split,
            first=split.first + start,
            rows=end - start,
            start=split.start + start,
            end=split.start + end,
            text_bytes=split.text_bytes * end // split.rows - split.text_bytes * start // split.rows,
        )


def _continues(piece: Split, before: Split) -> bool:
    return (piece.path, piece.group, piece.start) == (before.path, before.group, before.end)


def _joined(before: Split, piece: Split) -> Split:
    rows, text_bytes = before.rows + piece.rows, before.text_bytes + piece.text_bytes
    return replace(before, rows=rows, end=piece.end, text_bytes=text_bytes)
