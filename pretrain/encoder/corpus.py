"""The sources of a run, split and scheduled: microbatches of a step, and the held-out documents of each source."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.encoder.config import BatchConfig, HeldoutConfig
from tokensieve.pretrain.encoder.schedule import Pieces, Schedule, cut
from tokensieve.pretrain.encoder.token_store import TokenStore
from tokensieve.pretrain.errors import DatasetError
from tokensieve.udfs.packing.windows import packs


@dataclass(frozen=True, kw_only=True)
class Packed:
    """N pieces end to end.

    Attributes:
        ids_T: int64 token ids. bounds_N1: int64, piece n is ids_T[bounds_N1[n]:bounds_N1[n + 1]].
        key_N: uint64 per piece. origin: source and document numbers of the first pieces, for messages.
    """

    ids_T: np.ndarray
    bounds_N1: np.ndarray
    key_N: np.ndarray
    origin: tuple[tuple[str, int], ...]


class Corpus:
    """Training pieces of every step, and held-out pieces that no step reads."""

    def __init__(
        self,
        stores: Sequence[TokenStore],
        shares: Sequence[float],
        *,
        batch: BatchConfig,
        heldout: HeldoutConfig,
        steps: int,
        seed: int,
    ) -> None:
        """Raises DatasetError: a source has no document to train on, or none to hold out."""
        self.stores = tuple(stores)
        self._batch, self._heldout = batch, heldout
        self._pieces = [self._cut(store, ~store.heldout(heldout.share)) for store in stores]
        self._kept_out = [self._cut(store, store.heldout(heldout.share)) for store in stores]
        for store, train, kept_out in zip(stores, self._pieces, self._kept_out, strict=True):
            if not len(train) or not len(kept_out):
                raise DatasetError(
                    f"source {store.name}: of {len(store.length_D)} documents {len(train)} pieces are for training and "
                    f"{len(kept_out)} are held out; both need one: change heldout.share ({heldout.share})"
                )
        self.schedule = Schedule(self._pieces, shares, step_tokens=batch.step_tokens, steps=steps, seed=seed)

    def step(self, step: int) -> list[Packed]:
        """The microbatches of step `step` (from 0), longest pieces first, each within `microbatch_tokens`."""
        source_N, piece_N = self.schedule.step(step)
        length_N = np.empty(len(piece_N), np.int64)
        for number, pieces in enumerate(self._pieces):
            of = source_N == number
            length_N[of] = pieces.length_P[piece_N[of]]
        return [
            self._packed(self._pieces, source_N[pack], piece_N[pack])
            for pack in packs(length_N, self._batch.microbatch_tokens)
        ]

    def heldout(self) -> dict[str, list[Packed]]:
        """By source, held-out pieces in the order of their hashes, up to the configured tokens (at least one)."""
        return {store.name: self._heldout_of(number) for number, store in enumerate(self.stores)}

    def _heldout_of(self, number: int) -> list[Packed]:
        pieces = self._kept_out[number]
        order_P = np.argsort(pieces.key_P, kind="stable")
        count = int(np.searchsorted(np.cumsum(pieces.length_P[order_P]), self._heldout.tokens, side="right"))
        chosen_N = order_P[: max(count, 1)]
        return [
            self._packed(self._kept_out, np.full(len(pack), number), chosen_N[pack])
            for pack in packs(pieces.length_P[chosen_N], self._batch.microbatch_tokens)
        ]

    def _cut(self, store: TokenStore, chosen_D: np.ndarray) -> Pieces:
        return cut(store.length_D, store.hash_D, chosen_D, self._batch.context)

    def _packed(self, pieces: list[Pieces], source_N: np.ndarray, piece_N: np.ndarray) -> Packed:
        """Runs of one source are gathered together; the order of the pieces is kept."""
        edges = [0, *(np.flatnonzero(np.diff(source_N)) + 1).tolist(), len(source_N)]
        ids, lengths, keys, origin = [], [], [], []
        for first, stop in zip(edges[:-1], edges[1:]):
            store, of = self.stores[int(source_N[first])], pieces[int(source_N[first])]
            at = piece_N[first:stop]
            ids.append(store.gather(of.doc_P[at], of.start_P[at], of.length_P[at]))
            lengths.append(of.length_P[at])
            keys.append(of.key_P[at])
            origin.extend((store.name, doc) for doc in of.doc_P[at].tolist())
        return Packed(
            ids_T=np.concatenate(ids),
            bounds_N1=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
            key_N=np.concatenate(keys),
            origin=tuple(origin[:3]),
        )
