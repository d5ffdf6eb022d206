"""Reads documents of several sources in any order: token ids, loss mask and scores as they lie in the shards.

Documents are copied shard by shard into their places, so a batch opens each shard once. Traded away: a file stays open
for each of the last `OPEN_SHARDS` shards, three with scores; more shards than that are opened again for every batch.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tokensieve.pretrain.errors import MixError
from tokensieve.pretrain.mix.order import Order
from tokensieve.pretrain.mix.plan import Part
from tokensieve.pretrain.shards.manifest import inside
from tokensieve.pretrain.shards.shard import ShardReader

OPEN_SHARDS = 200
FORGOTTEN = 255  # a score that is forgotten at every threshold
NEVER_FORGOTTEN = 0


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The T tokens of some documents, one document after the other."""

    ids_T: np.ndarray  # in the dtype of the shards
    loss_mask_T: np.ndarray  # uint8, 1 = take the loss when this token is the label
    scores_T: np.ndarray | None  # uint8 on the grid of `udfs.scores.stored_scores`


class Gatherer:
    """Reads from the sources of these parts. Prefixes are put in front where a part has them."""

    def __init__(self, parts: tuple[Part, ...], dtype: np.dtype, *, scores: bool) -> None:
        self._parts = parts
        self._dtype = dtype
        self._scores = scores
        self._open = lru_cache(maxsize=OPEN_SHARDS)(self._map)

    def read(self, order: Order) -> Tokens:
        """The tokens of these documents in this order. Raises CorruptShardError, MixError for ids of a wider type."""
        ends_K = np.cumsum(order.lengths_K)
        total = int(ends_K[-1])
        tokens = Tokens(
            ids_T=np.empty(total, self._dtype),
            loss_mask_T=np.empty(total, np.uint8),
            scores_T=np.empty(total, np.uint8) if self._scores else None,
        )
        for at, part in enumerate(self._parts):
            mine_M = np.flatnonzero(order.part_K == at)
            if len(mine_M):
                self._read_part(at, part, order.document_K[mine_M], ends_K[mine_M], tokens)
        return tokens

    def _read_part(self, at: int, part: Part, document_M: np.ndarray, ends_M: np.ndarray, into: Tokens) -> None:
        documents = part.source.documents
        shard_M, lengths_M = documents.shard_D[document_M], documents.lengths_D[document_M]
        starts_M = documents.starts_D[document_M]
        for shard in np.unique(shard_M).tolist():
            mine = np.flatnonzero(shard_M == shard)
            mine = mine[np.argsort(starts_M[mine])]  # a file is read from front to back
            places = list(zip(*(column[mine].tolist() for column in (starts_M, lengths_M, ends_M))))
            for view_T, to_T in zip(self._open(at, shard), (into.ids_T, into.loss_mask_T, into.scores_T)):
                assert to_T is not None
                for start, length, end in places:
                    to_T[end - length : end] = view_T[start : start + length]
        if part.prefixes:
            _put_prefixes(part, document_M, ends_M - lengths_M, into)

    def _map(self, at: int, shard: int) -> tuple[np.ndarray, ...]:
        """Plain views of one shard's files; indexing numpy.memmap itself costs several times as much."""
        source = self._parts[at].source
        reader = ShardReader(inside(source.folder, source.shards[shard].prefix))
        if not np.can_cast(reader.dtype, self._dtype):
            raise MixError(
                f"{source}: {reader.prefix} holds {reader.dtype} ids, its vocabulary needs {self._dtype}; export again"
            )
        views = (np.asarray(reader.ids_T), np.asarray(reader.loss_mask_T))
        return (*views, np.asarray(reader.scores_T)) if self._scores else views


def _put_prefixes(part: Part, document_M: np.ndarray, ends_M: np.ndarray, into: Tokens) -> None:
    """Writes each document's prefix so that it ends where the document begins."""
    assert part.prefixes is not None
    loss, score = (1, NEVER_FORGOTTEN) if part.prefixes.loss else (0, FORGOTTEN)
    for prefix, end in zip(part.prefixes.of_D[document_M].tolist(), ends_M.tolist()):
        ids_P = part.prefixes.ids_U[prefix]
        span = slice(end - len(ids_P), end)
        into.ids_T[span] = ids_P
        into.loss_mask_T[span] = loss
        if into.scores_T is not None:
            into.scores_T[span] = score
