"""Writes and reads one shard: Megatron's `<prefix>.bin/.idx`, its loss mask `<prefix>_mask.bin/.idx`, its scores.

Needs numpy only, since it runs on Spark executors. Whole batches of documents go to disk as they come, so
memory holds one batch and the document lengths. The files are byte-identical with what Megatron's
IndexedDatasetBuilder writes. Traded away: merging shards; list them in a manifest and blend instead.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from tokensieve.pretrain.hashed_file import HashedFile
from tokensieve.pretrain.shards.check import EmptyDocumentError, MaskLengthError, check_ids, check_lengths, check_mask
from tokensieve.pretrain.shards.megatron_index import (
    CorruptShardError,
    MegatronIndex,
    ShardError,
    index_bytes,
    read_index,
)

SUFFIXES = (".bin", ".idx", "_mask.bin", "_mask.idx")
SCORE_SUFFIXES = ("_score.bin", "_score.idx")  # beside the others where an export keeps scores
MASK_DTYPE = np.dtype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class ShardStats:
    """What was written into one shard. `sha256` has a key per suffix of the files written; `score_counts` are the
    tokens at each of the 256 levels of the score companion, None without one."""

    documents: int
    tokens: int
    loss_tokens: int
    sha256: dict[str, str]
    score_counts: tuple[int, ...] | None = None


def token_dtype(vocab_size: int) -> np.dtype:
    """The token dtype Megatron would choose: uint16 below 65,500 ids, else int32 (`DType.optimal_dtype`)."""
    return np.dtype(np.uint16 if vocab_size < 65_500 else np.int32)


class ShardWriter:
    """Writes one shard, many documents at a time. A context manager: an exception removes its files.

    `prefix` is the path without suffix; `dtype` is `token_dtype(vocab_size)`; with `scores` the shard has a score
    companion. Existing files are overwritten.
    """

    def __init__(self, prefix: Path, dtype: np.dtype, *, scores: bool = False) -> None:
        self.prefix = Path(prefix)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.uint16), np.dtype(np.int32)):
            raise ShardError(f"{prefix}: token dtype {self.dtype} is not uint16 or int32; use token_dtype()")
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        suffixes = (*SUFFIXES, *SCORE_SUFFIXES) if scores else SUFFIXES
        self._files = {suffix: HashedFile(shard_file(self.prefix, suffix)) for suffix in suffixes}
        self._score_counts = np.zeros(256, dtype=np.int64) if scores else None
        self._lengths: list[np.ndarray] = []
        self._documents = 0
        self._tokens = 0
        self._loss_tokens = 0
        self._stats: ShardStats | None = None

    def add(
        self, ids_T: np.ndarray, loss_mask_T: np.ndarray, lengths_D: np.ndarray, scores_T: np.ndarray | None = None
    ) -> None:
        """Append D documents that lie one after the other in `ids_T`; each already ends with eod.

        ids_T: any integer dtype. loss_mask_T: bool or integers 0 and 1; 1 = take the loss when this token is
        the label. lengths_D: tokens of each document. scores_T: uint8, for a writer with scores and only there.
        Writes nothing when it raises TokenIdError, MaskLengthError, EmptyDocumentError or DocumentTooLongError (all
        ShardError).
        """
        if self._stats is not None:
            raise ShardError(f"{self.prefix}: add() after close()")
        ids_T, mask_T, lengths_D = np.asarray(ids_T), np.asarray(loss_mask_T), np.asarray(lengths_D)
        check_lengths(self.prefix, self._documents, ids_T, mask_T, lengths_D)
        if lengths_D.shape[0] == 0:
            return
        check_ids(self.prefix, self._documents, ids_T, lengths_D, self.dtype)
        check_mask(self.prefix, mask_T)
        self._add_scores(ids_T, scores_T)
        mask_T = np.ascontiguousarray(mask_T, dtype=MASK_DTYPE)
        self._files[".bin"].write(_buffer(ids_T, self.dtype.newbyteorder("<")))
        self._files["_mask.bin"].write(_buffer(mask_T, MASK_DTYPE))
        self._lengths.append(lengths_D.astype(np.int32))
        self._documents += int(lengths_D.shape[0])
        self._tokens += int(ids_T.shape[0])
        self._loss_tokens += int(np.count_nonzero(mask_T))

    def close(self) -> ShardStats:
        """Write the `.idx` files, put all files on disk, return counts and hashes. May be called again."""
        if self._stats is not None:
            return self._stats
        if not self._documents:
            self._remove()
            raise EmptyDocumentError(f"{self.prefix}: no documents were added; write no shard for an empty partition")
        lengths_D = np.concatenate(self._lengths)
        for suffix in (suffix for suffix in self._files if suffix.endswith(".idx")):
            dtype = self.dtype if suffix == ".idx" else MASK_DTYPE
            for part in index_bytes(lengths_D, dtype):
                self._files[suffix].write(part)
        self._stats = ShardStats(
            documents=self._documents,
            tokens=self._tokens,
            loss_tokens=self._loss_tokens,
            sha256={suffix: file.finish() for suffix, file in self._files.items()},
            score_counts=None if self._score_counts is None else tuple(self._score_counts.tolist()),
        )
        return self._stats

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            if kind is not None or self._stats is None:
                self._remove()

    def _remove(self) -> None:
        for file in self._files.values():
            file.remove()

    def _add_scores(self, ids_T: np.ndarray, scores_T: np.ndarray | None) -> None:
        if (scores_T is None) != (self._score_counts is None):
            raise MaskLengthError(f"{self.prefix}: opened {'with' if scores_T is None else 'without'} scores")
        if scores_T is None or self._score_counts is None:
            return
        if scores_T.shape != ids_T.shape or scores_T.dtype != MASK_DTYPE:
            raise MaskLengthError(
                f"{self.prefix}: token ids {ids_T.shape} but scores {scores_T.shape} of {scores_T.dtype}, not uint8"
            )
        self._files["_score.bin"].write(_buffer(scores_T, MASK_DTYPE))
        self._score_counts += np.bincount(scores_T, minlength=256)


class ShardReader:
    """Reads one shard through memory maps; opening checks headers, sizes and that the mask fits.

    Raises CorruptShardError. `lengths_D` (int32) and `starts_D` (int64, first token) are per document;
    `ids_T` and `loss_mask_T` are the whole shard, not copied.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = Path(prefix)
        index = read_index(shard_file(self.prefix, ".idx"))
        mask_index = read_index(shard_file(self.prefix, "_mask.idx"))
        if mask_index.dtype != MASK_DTYPE:
            raise CorruptShardError(f"{self.prefix}_mask.idx: dtype {mask_index.dtype}, a loss mask is uint8")
        if not np.array_equal(index.lengths_D, mask_index.lengths_D):
            raise CorruptShardError(
                f"{self.prefix}_mask.idx: document lengths differ from {self.prefix}.idx "
                f"({mask_index.documents} documents, {mask_index.elements} tokens against {index.documents}, "
                f"{index.elements})"
            )
        self.dtype = index.dtype
        self.documents = index.documents
        self.tokens = index.elements
        self.lengths_D = index.lengths_D
        self.ids_T = _map(shard_file(self.prefix, ".bin"), index)
        self.loss_mask_T = _map(shard_file(self.prefix, "_mask.bin"), mask_index)
        self.starts_D = index.offsets_D // index.dtype.itemsize

    @property
    def scores_T(self) -> np.ndarray:
        """The score companion, uint8 [T] on the grid of `udfs.scores`. Raises CorruptShardError: absent, of others."""
        index = read_index(shard_file(self.prefix, "_score.idx"))
        if index.dtype != MASK_DTYPE or not np.array_equal(index.lengths_D, self.lengths_D):
            raise CorruptShardError(
                f"{self.prefix}_score.idx: {index.documents} documents of {index.dtype}, {index.elements} scores; "
                f"not the uint8 scores of the {self.documents} documents and {self.tokens} tokens of {self.prefix}.idx"
            )
        return _map(shard_file(self.prefix, "_score.bin"), index)

    def ids(self, index: int) -> np.ndarray:
        """Token ids of document `index`, eod included, in the shard's dtype. Raises IndexError."""
        return self.ids_T[self._span(index)]

    def loss_mask(self, index: int) -> np.ndarray:
        """Loss mask (uint8, 1 = take the loss on this label) of document `index`. Raises IndexError."""
        return self.loss_mask_T[self._span(index)]

    def _span(self, index: int) -> slice:
        if not 0 <= index < self.documents:
            raise IndexError(f"{self.prefix}: document {index} of {self.documents}")
        start = int(self.starts_D[index])
        return slice(start, start + int(self.lengths_D[index]))


def shard_file(prefix: Path, suffix: str) -> Path:
    """`<prefix><suffix>`; `with_suffix` would cut a prefix that holds a dot."""
    return prefix.parent / (prefix.name + suffix)


def _buffer(values_T: np.ndarray, dtype: np.dtype) -> memoryview:
    return np.ascontiguousarray(values_T, dtype=dtype).data.cast("B")


def _map(path: Path, index: MegatronIndex) -> np.ndarray:
    if not path.is_file():
        raise CorruptShardError(f"{path}: missing; export the shards again")
    size, expected = path.stat().st_size, index.elements * index.dtype.itemsize
    if size != expected:
        raise CorruptShardError(f"{path}: {size} bytes but its index needs {expected}; truncated or overwritten")
    if not size:
        return np.empty(0, index.dtype)
    return np.memmap(path, dtype=index.dtype, mode="r")
