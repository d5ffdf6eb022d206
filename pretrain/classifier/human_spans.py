"""Texts with concepts marked by human annotators, turned into labels of tokens.

A token is positive when it overlaps a marked span of the wanted types by at least one byte: the any-overlap rule of
paper 1 (A.2), which trades precision at the edges for recall.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from udfs.tokenizer import Tokenized, byte_offsets


@dataclass(frozen=True, kw_only=True)
class Marked:
    """D texts; `spans[d]` is int64 [N, 2], byte offsets (start, end exclusive) of its marked concepts."""

    texts: list[str]
    spans: list[np.ndarray]


def read_marked(path: Path, prefix: str) -> Marked:
    """Reads columns `text` and `spans` (character offsets), keeping the span types that start with `prefix`."""
    table = pq.read_table(path, columns=["text", "spans"])
    texts = table["text"].to_pylist()
    spans = []
    for text, marks in zip(texts, table["spans"].to_pylist(), strict=True):
        wanted = [(mark["start"], mark["end"]) for mark in marks or () if mark["type"].startswith(prefix)]
        spans.append(byte_offsets(text)[np.array(wanted, dtype=np.int64).reshape(-1, 2)])
    return Marked(texts=texts, spans=spans)


def token_labels(marked: Marked, tokens: Tokenized, first: int = 0) -> np.ndarray:
    """bool [T]: the token overlaps a marked span of its text. The tokens are those of the texts from `first` on."""
    out_T = np.zeros(len(tokens.ids_T), dtype=bool)
    documents = len(tokens.bounds_D1) - 1
    for d, spans_N2 in enumerate(marked.spans[first : first + documents]):
        part = slice(tokens.bounds_D1[d], tokens.bounds_D1[d + 1])
        ends_T1 = np.concatenate([[0], np.cumsum(tokens.bytes_T[part])])
        change_B = np.zeros(int(ends_T1[-1]) + 1, dtype=np.int64)
        np.add.at(change_B, spans_N2[:, 0], 1)
        np.add.at(change_B, spans_N2[:, 1], -1)
        inside_B1 = np.concatenate([[0], np.cumsum(np.cumsum(change_B)[:-1] > 0)])
        out_T[part] = inside_B1[ends_T1[1:]] > inside_B1[ends_T1[:-1]]
    return out_T
