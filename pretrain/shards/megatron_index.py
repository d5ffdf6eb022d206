"""Megatron's `.idx` file, read and written with numpy alone.

Layout (little endian): 9 bytes magic, u64 version, u8 dtype code, u64 sequences, u64 documents + 1, then
int32[sequences] lengths, int64[sequences] byte offsets, int64[documents + 1] first sequence of each document.
Traded away: several sequences per document and the multimodal tail, which tokensieve never writes.
Source: megatron-core 0.16.1, `core/datasets/indexed_dataset.py`.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES: dict[str, int] = {"uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "uint16": 8}
BYTES_PER_DOCUMENT = 4 + 8 + 8


class ShardError(ValueError):
    """Something is wrong with a shard or with what is being written into one."""


class CorruptShardError(ShardError):
    """A shard's files are missing, truncated, or do not agree with each other."""


@dataclass(frozen=True, kw_only=True)
class MegatronIndex:
    """One `.idx` file: the element type of the `.bin` beside it and where each document lies in it."""

    dtype: np.dtype
    lengths_D: np.ndarray  # int32, elements of each document
    offsets_D: np.ndarray  # int64, first byte of each document in the `.bin`

    @property
    def documents(self) -> int:
        return int(self.lengths_D.shape[0])

    @property
    def elements(self) -> int:
        return int(self.lengths_D.sum(dtype=np.int64))


def byte_offsets(lengths_D: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """First byte of every document (int64) when documents of these lengths lie one after the other."""
    ends_D = np.cumsum(lengths_D, dtype=np.int64)
    return (ends_D - lengths_D) * dtype.itemsize


def index_bytes(lengths_D: np.ndarray, dtype: np.dtype) -> list[bytes]:
    """The parts of an `.idx` file in the order in which they are written."""
    documents = int(lengths_D.shape[0])
    header = HEADER.pack(MAGIC, VERSION, DTYPE_CODES[dtype.name], documents, documents + 1)
    return [
        header,
        lengths_D.astype("<i4").tobytes(),
        byte_offsets(lengths_D, dtype).astype("<i8").tobytes(),
        np.arange(documents + 1, dtype="<i8").tobytes(),
    ]


def read_index(path: Path) -> MegatronIndex:
    """Map an `.idx` file and check every number in it that can be checked without the `.bin`.

    Raises CorruptShardError with the file and the two values that disagree.
    """
    if not path.is_file():
        raise CorruptShardError(f"{path}: missing; export the shards again")
    raw_B = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    if raw_B.shape[0] < HEADER.size:
        raise CorruptShardError(f"{path}: {raw_B.shape[0]} bytes, shorter than the {HEADER.size}-byte header")
    magic, version, code, documents, boundaries = HEADER.unpack(raw_B[: HEADER.size].tobytes())
    names = {value: name for name, value in DTYPE_CODES.items()}
    if magic != MAGIC or version != VERSION or code not in names or boundaries != documents + 1:
        raise CorruptShardError(
            f"{path}: not an index of one sequence per document (magic {magic!r}, version {version}, "
            f"dtype code {code}, {documents} sequences, {boundaries} boundaries)"
        )
    expected = HEADER.size + documents * BYTES_PER_DOCUMENT + 8
    if raw_B.shape[0] != expected:
        raise CorruptShardError(f"{path}: {raw_B.shape[0]} bytes but {documents} documents need {expected}; truncated?")
    index = MegatronIndex(
        dtype=np.dtype(names[code]),
        lengths_D=np.frombuffer(raw_B, "<i4", documents, HEADER.size),
        offsets_D=np.frombuffer(raw_B, "<i8", documents, HEADER.size + 4 * documents),
    )
    _check_positions(path, index)
    return index


def _check_positions(path: Path, index: MegatronIndex) -> None:
    if index.documents and int(index.lengths_D.min()) < 1:
        first = int(np.argmax(index.lengths_D < 1))
        raise CorruptShardError(f"{path}: document {first} has length {index.lengths_D[first]}")
    wrong_D = index.offsets_D != byte_offsets(index.lengths_D, index.dtype)
    if wrong_D.any():
        raise CorruptShardError(
            f"{path}: the byte offset of document {int(np.argmax(wrong_D))} disagrees with the lengths"
        )
