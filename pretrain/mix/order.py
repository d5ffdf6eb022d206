"""The order of a mixed shard set: all documents of all parts, shuffled by hash and cut into shards of equal size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from tokensieve.pretrain.hashing import content_hashes, mixed, salt
from tokensieve.pretrain.mix.plan import Part
from tokensieve.pretrain.mix.selection import sorted_places


@dataclass(frozen=True, kw_only=True)
class Order:
    """K documents in the order in which they are written."""

    part_K: np.ndarray  # int16, number of the part
    document_K: np.ndarray  # int64, number in Source.documents
    pass_K: np.ndarray  # int32
    lengths_K: np.ndarray  # int64 tokens, the prefix counted

    def __getitem__(self, places: slice | np.ndarray) -> Self:
        """Some of them."""
        return type(self)(
            part_K=self.part_K[places],
            document_K=self.document_K[places],
            pass_K=self.pass_K[places],
            lengths_K=self.lengths_K[places],
        )

    def pieces(self, tokens: int) -> Iterator[Self]:
        """Consecutive runs of documents of about equal size, none empty, as few as have about `tokens` each."""
        ends_K = np.cumsum(self.lengths_K)
        total = int(ends_K[-1]) if len(ends_K) else 0
        count = max(1, -(-total // tokens))
        piece_K = (ends_K - self.lengths_K) * count // max(1, total)
        cuts = [0, *(np.flatnonzero(np.diff(piece_K)) + 1).tolist(), len(piece_K)]
        for first, end in zip(cuts, cuts[1:]):
            if end > first:
                yield self[first:end]


def shuffled(parts: tuple[Part, ...], seed: int) -> Order:
    """The documents of all parts by a hash of document, source, pass and seed. Every part has chosen documents."""
    columns = [_columns(at, part, seed) for at, part in enumerate(parts)]
    part_K, document_K, pass_K, lengths_K, key_K, tie_K = (np.concatenate(one) for one in zip(*columns))
    order = Order(part_K=part_K, document_K=document_K, pass_K=pass_K, lengths_K=lengths_K)
    return order[sorted_places(key_K, tie_K)]


def _columns(at: int, part: Part, seed: int) -> tuple[np.ndarray, ...]:
    assert part.chosen is not None, f"{part.source} has no chosen documents"
    document_K, pass_K = part.chosen.documents_K, part.chosen.pass_K
    documents = part.source.documents
    name = int(content_hashes([part.source.name.encode()])[0])
    key_K = mixed(mixed(documents.hash_D[document_K] ^ salt(seed, name)) ^ pass_K.astype(np.uint64))
    lengths_K = documents.lengths_D[document_K]
    if part.prefixes:
        lengths_K = lengths_K + part.prefixes.lengths_D[document_K]
    return np.full(len(document_K), at, np.int16), document_K, pass_K, lengths_K, key_K, documents.row_D[document_K]
