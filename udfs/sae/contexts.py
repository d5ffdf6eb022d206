"""Where each latent fires most, in words: what an explainer reads.

A context is one run of tokens on which the latent fires, at its strongest token; at most one a document, the
strongest, for twenty contexts out of one article explain nothing. Lists merge like maxima: order and ties (activation,
then document id, then place) depend on content only, so any split of a corpus gives the same list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from tokensieve.udfs.files.committed import newest_commit
from tokensieve.udfs.sae.activations import Activations
from tokensieve.udfs.sae.slice import SaeError
from tokensieve.udfs.spans.intervals import owners

CONTEXT_SCHEMA = pa.schema(
    [
        pa.field("latent_id", pa.int32()),
        pa.field("rank", pa.int32()),
        pa.field("activation", pa.float32()),
        pa.field("doc_id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
    ]
)
# `at`: the byte of the document at which the strongest token begins, for ties.
CANDIDATE_SCHEMA = pa.schema([*(f for f in CONTEXT_SCHEMA if f.name != "rank"), pa.field("at", pa.int64())])
_ORDER = [("latent_id", "ascending"), ("activation", "descending"), ("doc_id", "ascending"), ("at", "ascending")]


@dataclass(frozen=True, kw_only=True)
class ContextSettings:
    """How many contexts a latent keeps, and how many bytes of text stand on each side of its strongest token."""

    limit: int = 20
    reach: int = 240


def read_contexts(path: str | Path) -> pa.Table:
    """The table `sae/contexts` below a tables root: CONTEXT_SCHEMA by latent and rank, best first.

    `start` and `end` are UTF-8 bytes within `text`. Raises SaeError when there is no such table.
    """
    found = newest_commit(Path(path))
    if found is None:
        raise SaeError(f"{path}: no table of contexts; run `tokensieve label sae stats`")
    table = ds.dataset([str(file) for file in found.files], schema=CONTEXT_SCHEMA).to_table()
    return table.sort_by([("latent_id", "ascending"), ("rank", "ascending")])


def best(candidates: pa.Table, limit: int) -> pa.Table:
    """The `limit` first candidates of every latent, in order. best(best(a) + b) is best(a + b)."""
    ordered = candidates.sort_by(_ORDER)
    return ordered.filter(pa.array(_rank(ordered.column("latent_id").to_numpy()) < limit))


def find_contexts(
    activations: Activations,
    latent_id_K: np.ndarray,
    doc_ids: Sequence[str],
    texts: Sequence[str],
    settings: ContextSettings,
) -> pa.Table:
    """The best contexts in a batch of texts, of CANDIDATE_SCHEMA."""
    peaks = _peaks(activations, np.array([doc_id.encode() for doc_id in doc_ids], dtype=object), settings.limit)
    tokens, data = activations.tokens, [text.encode() for text in texts]
    edge_T1 = np.concatenate([[0], np.cumsum(tokens.bytes_T, dtype=np.int64)])
    base_M = edge_T1[tokens.bounds_D1[peaks.doc_M]]
    # Bytes of the document: the run, and its strongest token.
    run_M2 = np.stack([edge_T1[peaks.start_M] - base_M, edge_T1[peaks.end_M] - base_M], axis=1)
    peak_M2 = np.stack([edge_T1[peaks.at_M] - base_M, edge_T1[peaks.at_M + 1] - base_M], axis=1)
    cuts = [
        _cut(data[doc], (int(run[0]), int(run[1])), (int(peak[0]), int(peak[1])), settings.reach)
        for doc, run, peak in zip(peaks.doc_M, run_M2, peak_M2, strict=True)
    ]
    return pa.table(
        [
            pa.array(latent_id_K[peaks.column_M], pa.int32()),
            pa.array(peaks.value_M, pa.float32()),
            pa.array([doc_ids[doc] for doc in peaks.doc_M], pa.string()),
            pa.array([cut[0] for cut in cuts], pa.string()),
            pa.array([cut[1] for cut in cuts], pa.int32()),
            pa.array([cut[2] for cut in cuts], pa.int32()),
            pa.array(peak_M2[:, 0], pa.int64()),
        ],
        schema=CANDIDATE_SCHEMA,
    )


@dataclass(frozen=True, kw_only=True)
class _Peaks:
    """M runs: latent, document, tokens start..end exclusive, the strongest token, its activation."""

    column_M: np.ndarray
    doc_M: np.ndarray
    start_M: np.ndarray
    end_M: np.ndarray
    at_M: np.ndarray
    value_M: np.ndarray

    def take(self, at: np.ndarray) -> "_Peaks":
        return _Peaks(**{name: getattr(self, name)[at] for name in self.__dataclass_fields__})


def _peaks(activations: Activations, ids_D: np.ndarray, limit: int) -> _Peaks:
    """The strongest run of every (latent, document), the `limit` best of each latent."""
    order_N = np.lexsort((activations.position_N, activations.column_N))
    column_N, position_N = activations.column_N[order_N], activations.position_N[order_N]
    value_N, doc_N = activations.value_N[order_N], owners(position_N, activations.tokens.bounds_D1)
    joined_N = (np.diff(position_N) == 1) & (np.diff(column_N) == 0) & (np.diff(doc_N) == 0)
    first_M = np.flatnonzero(np.concatenate([[True], ~joined_N])[: len(position_N)])
    last_M = np.append(first_M[1:], len(position_N))[: len(first_M)] - 1
    best_M = np.maximum.reduceat(value_N, first_M) if len(first_M) else value_N
    peak_N = np.flatnonzero(value_N == np.repeat(best_M, last_M - first_M + 1))
    peak_M = peak_N[np.searchsorted(peak_N, first_M)]  # the first of a run's equally strong tokens
    runs = _Peaks(
        column_M=column_N[first_M],
        doc_M=doc_N[first_M],
        start_M=position_N[first_M],
        end_M=position_N[last_M] + 1,
        at_M=position_N[peak_M],
        value_M=best_M,
    )
    runs = runs.take(np.lexsort((runs.at_M, -runs.value_M, runs.doc_M, runs.column_M)))
    new_M = np.concatenate([[True], (np.diff(runs.column_M) != 0) | (np.diff(runs.doc_M) != 0)])[: len(runs.doc_M)]
    runs = runs.take(np.flatnonzero(new_M))
    rank_D = np.unique(ids_D, return_inverse=True)[1] if len(ids_D) else np.zeros(0, np.int64)
    runs = runs.take(np.lexsort((runs.at_M, rank_D[runs.doc_M], -runs.value_M, runs.column_M)))
    return runs.take(np.flatnonzero(_rank(runs.column_M) < limit))


def _rank(sorted_M: np.ndarray) -> np.ndarray:
    """Place of each element among its equals, int64 [M], equal ones lying together."""
    first_M = np.concatenate([[True], np.diff(sorted_M) != 0])[: len(sorted_M)]
    places_M = np.arange(len(sorted_M))
    return places_M - np.maximum.accumulate(np.where(first_M, places_M, 0))


def _cut(data: bytes, run: tuple[int, int], peak: tuple[int, int], reach: int) -> tuple[str, int, int]:
    """Text within `reach` bytes of the peak, widened to whole characters, and where the run lies in it."""
    start, end = _widen(data, max(peak[0] - reach, 0), min(peak[1] + reach, len(data)))
    first, last = _widen(data, *run)
    return data[start:end].decode(), max(first, start) - start, min(last, end) - start


def _widen(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Bytes start:end moved outwards to the borders of characters; no bytes become the character before them."""
    start -= start == end > 0
    while 0 < start < len(data) and data[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    return start, end
