"""A small sample of the source without Spark: the first rows of evenly spread splits, always the same ones.

First rows cost least to read. Where shards or row groups are sorted inside, they are not those of the whole; nobody
who plans a run should read the interval on the tokens as more than it is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.jobs.errors import InputError
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig
from tokensieve.udfs.reading.parts import PROVENANCE, Faults
from tokensieve.udfs.reading.read_shard import read_split
from tokensieve.udfs.reading.split import Split
from tokensieve.udfs.reading.text_rows import text_faults

SPLITS = 16
TEXT_BYTES = 2 * 2**20
CUT_CHARACTERS = 32_768
"""Of a document that are looked at: the windows of a longer one cost what others do."""
COMPRESSED = (".gz", ".zst")
NORMAL_95 = 1.96
SPLITS_ENOUGH = 8  # to judge by them how much documents differ, and not by documents of one shard


@dataclass(frozen=True, kw_only=True)
class Sample:
    """D documents of S splits, one split after the other in turn, so that the first ones are spread too.

    Attributes:
        rows: the source's columns, then PROVENANCE; texts are cut to CUT_CHARACTERS.
        split_D: which of the splits each is from.
        text_share: bytes of text in a byte of the listing, before the cut.
    """

    rows: pa.RecordBatch
    split_D: np.ndarray
    text_share: float


def sample(splits: Sequence[Split], schema: pa.Schema, text: str, storage: StorageConfig = PROVIDERS_OWN) -> Sample:
    """Reads at most about TEXT_BYTES of text. Raises InputError: no text could be read."""
    chosen = _spread([split for split in splits if _cheap(split)])
    size = TEXT_BYTES // max(1, len(chosen))
    parts = [part for split in chosen if (part := _head(split, schema, text, size, storage))]
    if not parts:
        raise InputError(f"source: of {len(chosen)} places that were sampled none has a text that can be read")
    rows = pa.Table.from_batches([batch for batch, _, _ in parts]).combine_chunks().to_batches()[0]
    split_D = np.repeat(np.arange(len(parts)), [batch.num_rows for batch, _, _ in parts])
    turn_D = np.concatenate([np.arange(batch.num_rows) for batch, _, _ in parts])
    order_D = np.argsort(turn_D, kind="stable")
    return Sample(
        rows=rows.take(pa.array(order_D)),
        split_D=split_D[order_D],
        text_share=sum(found for _, found, _ in parts) / max(1.0, sum(listed for _, _, listed in parts)),
    )


def _spread(splits: list[Split]) -> list[Split]:
    count = min(SPLITS, len(splits))
    return [splits[(2 * at + 1) * len(splits) // (2 * count)] for at in range(count)]


def _cheap(split: Split) -> bool:
    """A later split of a compressed file is read from the file's beginning."""
    return split.format == "parquet" or not split.start or not split.path.endswith(COMPRESSED)


def _head(
    split: Split, schema: pa.Schema, text: str, size: int, storage: StorageConfig
) -> tuple[pa.RecordBatch, int, float] | None:
    """About `size` bytes of text from the split's first rows, at least one; their bytes, and those of the listing."""
    if split.format == "parquet":
        rows = min(split.rows, math.ceil(split.rows * size / max(split.text_bytes, 1)))
        split = replace(split, rows=rows, end=split.start + rows, text_bytes=split.text_bytes * rows // split.rows)
    for batch in _readable(split, schema, text, storage):
        ends_D = np.cumsum(pc.call_function("binary_length", [batch.column(text)]).to_numpy(), dtype=np.int64)
        batch = batch.slice(0, max(1, int(np.searchsorted(ends_D, size, side="right"))))
        bytes_ = int(ends_D[batch.num_rows - 1])
        return _cut(batch, text), bytes_, split.text_bytes * batch.num_rows / split.rows
    return None


def _readable(split: Split, schema: pa.Schema, text: str, storage: StorageConfig) -> Iterator[pa.RecordBatch]:
    """Batches of the rows whose text can be used, none of them empty."""
    for part in read_split(split, schema, storage):
        if isinstance(part, Faults):
            continue
        usable = [fault is None for fault in text_faults(part.batch.column(text))]
        batch = part.batch.filter(pa.array(usable, pa.bool_()))
        if batch.num_rows:
            yield batch


def _cut(batch: pa.RecordBatch, text: str) -> pa.RecordBatch:
    at = batch.schema.get_field_index(text)
    options = pc.SliceOptions(0, CUT_CHARACTERS)
    return batch.set_column(at, batch.schema.field(at), pc.call_function("utf8_slice_codeunits", [batch[at]], options))


def tokens_per_byte(tokens_D: np.ndarray, bytes_D: np.ndarray, split_D: np.ndarray) -> tuple[float, float]:
    """Tokens a byte of text, and half of a 95 % interval: a ratio estimate over splits, or documents where few."""
    if len(np.unique(split_D)) >= SPLITS_ENOUGH:
        tokens_D, bytes_D = np.bincount(split_D, tokens_D), np.bincount(split_D, bytes_D)
    count = len(bytes_D)
    ratio = float(tokens_D.sum() / max(1, bytes_D.sum()))
    if count < 2:
        return ratio, ratio
    spread = math.sqrt(float(((tokens_D - ratio * bytes_D) ** 2).sum()) / (count * (count - 1)))
    return ratio, NORMAL_95 * spread / max(float(bytes_D.mean()), 1.0)


def without_row(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows as `udfs.scoring.score_rows.score_rows` takes them: it numbers them itself."""
    return rows.drop_columns([PROVENANCE[2].name])
