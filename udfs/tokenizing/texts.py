"""A batch of texts as flat UTF-8, and the tokens that a back end makes of it.

An Arrow column is taken as it lies in memory: Python strings are made only for a back end that needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa


class BackendUnfit(ValueError):
    """A back end cannot stand for the reference tokenizer here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Tokens of D documents, T in all. Document d has the tokens bounds_D1[d]:bounds_D1[d + 1]."""

    ids_T: np.ndarray  # int32
    bytes_T: np.ndarray  # int32, UTF-8 bytes of each token
    bounds_D1: np.ndarray  # int64

    @classmethod
    def of(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Encoded":
        """From ids and byte lengths per document."""
        counts = np.array([len(ids) for ids, _ in parts], dtype=np.int64)
        return cls(
            ids_T=np.concatenate([_EMPTY, *(ids for ids, _ in parts)], dtype=np.int32, casting="unsafe"),
            bytes_T=np.concatenate([_EMPTY, *(lengths for _, lengths in parts)], dtype=np.int32, casting="unsafe"),
            bounds_D1=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    def covered_D(self) -> np.ndarray:
        """UTF-8 bytes that each document's tokens cover, int64 [D]."""
        covered_D = np.zeros(len(self.bounds_D1) - 1, np.int64)
        some_D = np.diff(self.bounds_D1) > 0
        if some_D.any():  # sums of runs, since running sums would take 8 bytes a token
            covered_D[some_D] = np.add.reduceat(self.bytes_T, self.bounds_D1[:-1][some_D], dtype=np.int64)
        return covered_D


class Backend(Protocol):
    """What turns texts into tokens."""

    def encode(self, texts: "Texts") -> Encoded: ...


class Reference(Backend, Protocol):
    """A back end that also knows its vocabulary. `exact_cuts`: see `udfs.tokenizing.cuts`."""

    exact_cuts: bool
    vocab_size: int
    specials: tuple[str, ...]

    @property
    def bytes_V(self) -> np.ndarray | None:
        """Bytes per id, int32; None where no table can say it."""
        ...

    def token_id(self, literal: str) -> int | None: ...
    def decode(self, ids: Sequence[int]) -> str: ...


class Texts:
    """D texts. `data_B` uint8 holds them end to end, text d at bounds_D1[d]:bounds_D1[d + 1]; both are views.

    `failed` says which of the given texts have no UTF-8 form; such a text counts as empty here.
    """

    def __init__(self, texts: Sequence[str] | pa.Array) -> None:
        self.failed: dict[int, str] = {}
        self.column = texts if isinstance(texts, pa.Array) else self._column(texts)
        self.data_B, self.bounds_D1 = _flat(self.column)

    def __len__(self) -> int:
        return len(self.column)

    def strings(self) -> list[str]:
        """The texts as Python strings."""
        return self.column.to_pylist()  # type: ignore[return-value]  # no nulls: _flat refuses them

    def part(self, bounds_N1: np.ndarray) -> "Texts":
        """The texts that lie between the given places of `data_B`, views of it."""
        data_B = self.data_B[bounds_N1[0] : bounds_N1[-1]]
        offsets, data = pa.py_buffer(bounds_N1 - bounds_N1[0]), pa.py_buffer(data_B)
        return Texts(pa.LargeStringArray.from_buffers(len(bounds_N1) - 1, offsets, data))

    def without(self, emptied: Sequence[int]) -> "Texts":
        """The same texts, of which some are empty; a copy."""
        sizes_D = np.diff(self.bounds_D1)
        parts = [self.data_B[start : start + size] for start, size in zip(self.bounds_D1.tolist(), sizes_D.tolist())]
        for d in emptied:
            parts[d] = parts[d][:0]
        bounds_D1 = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        data = pa.py_buffer(np.concatenate(parts))
        return Texts(pa.LargeStringArray.from_buffers(len(parts), pa.py_buffer(bounds_D1), data))

    def _column(self, texts: Sequence[str]) -> pa.Array:
        encoded = []
        for d, text in enumerate(texts):
            try:
                encoded.append(text.encode("utf-8"))
            except UnicodeEncodeError as error:
                encoded.append(b"")
                self.failed[d] = (
                    f"the text has no UTF-8 form: lone surrogate at character {error.start}; mend it at the source"
                )
        return pa.array(encoded, pa.large_binary()).cast(pa.large_string())  # type: ignore[return-value]


def byte_offsets(text: str) -> np.ndarray:
    """The byte at which each of C characters starts in UTF-8, and the length at the end: int64 [C + 1]."""
    code_C = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    sizes_C = 1 + (code_C > 0x7F) + (code_C > 0x7FF) + (code_C > 0xFFFF)
    return np.concatenate([[0], np.cumsum(sizes_C)]).astype(np.int64)


_EMPTY = np.zeros(0, dtype=np.int32)


def _flat(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} texts are null; a document needs a text")
    if not len(column):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, offsets, data = column.buffers()
    bounds_D1 = np.frombuffer(offsets, dtype=width)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    data_B = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return data_B[bounds_D1[0] : bounds_D1[-1]], bounds_D1 - bounds_D1[0]
