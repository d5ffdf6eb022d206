"""Where a document of a shard turns up in training, and what a training sample was cut from.

Both ways are answered from Megatron's own document, sample and shuffle index, so the answer is what the run reads and
not a second opinion. A sample is seen here as its `seq_length + 1` ids: neighbours share one, which is the last label
of one and the first input of the next. Traded away: a lookup scans the shard's index, there is no inverse on disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from megatron.core.datasets.blended_dataset import BlendedDataset

from tokensieve.pretrain.samples.training_samples import TrainingSamples


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Tokens `first` to `end` (exclusive) of one document, as they lie in one training sample.

    Attributes:
        sample: number of the sample in the run. epoch: how often the run has had the document before.
        shard: the shard's name in the corpus. document: the document's number in that shard.
        at: where the piece begins among the sample's `seq_length + 1` ids; id `at` is label `at - 1`.
    """

    sample: int
    epoch: int
    shard: str
    document: int
    first: int
    end: int
    at: int

    @property
    def labels(self) -> slice:
        """The piece's tokens among the sample's labels (and its loss mask); a first id of a sample is no label."""
        return slice(max(self.at - 1, 0), self.at - 1 + self.end - self.first)


def pieces_of_document(samples: TrainingSamples, shard: str, document: int) -> list[Piece]:
    """Every sample of the run that holds a token of the document, in the order of training.

    Empty when the shard is too short for one sample, or the document lies in the end of it that no sample reaches.
    """
    found = []
    for part in _parts(samples):
        if part.shard == shard:
            for sample in part.samples_with(document):
                found += [piece for piece in part.pieces(sample) if piece.document == document]
    return sorted(found, key=lambda piece: (piece.sample, piece.at))


def pieces_of_sample(samples: TrainingSamples, sample: int) -> list[Piece]:
    """The documents that training sample `sample` was cut from, in order. Raises IndexError."""
    if not 0 <= sample < len(samples):
        raise IndexError(f"sample {sample} of {len(samples)}")
    part = next(part for part in _parts(samples) if np.isin(sample, part.numbers_I))
    return part.pieces(int(np.flatnonzero(part.numbers_I == sample)[0]))


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One shard in one epoch: I samples of the run, P places in the order of documents, S samples of the shard."""

    shard: str
    epoch: int
    numbers_I: np.ndarray  # int64, the run's number of each sample of this part
    places_I: np.ndarray  # int64, the sample's place in sample_S2, unshuffled
    order_P: np.ndarray  # int32, Megatron's document index
    starts_P1: np.ndarray  # int64, first token of each place when documents lie in that order
    sample_starts_S: np.ndarray  # int64, first token of each sample on the same axis
    length: int  # ids in a sample

    def samples_with(self, document: int) -> list[int]:
        """Rows of this part whose sample holds a token of the document."""
        rows: set[int] = set()
        for place in np.flatnonzero(self.order_P == document):
            first = np.searchsorted(self.sample_starts_S, self.starts_P1[place] - self.length, side="right")
            last = np.searchsorted(self.sample_starts_S, self.starts_P1[place + 1], side="left")
            rows |= set(np.flatnonzero((self.places_I >= first) & (self.places_I < last)).tolist())
        return sorted(rows)

    def pieces(self, row: int) -> list[Piece]:
        """What the sample in this row was cut from."""
        begin = int(self.sample_starts_S[self.places_I[row]])
        first = int(np.searchsorted(self.starts_P1, begin, side="right")) - 1
        last = int(np.searchsorted(self.starts_P1, begin + self.length, side="left"))
        return [self._piece(row, place, begin) for place in range(first, last)]

    def _piece(self, row: int, place: int, begin: int) -> Piece:
        start, stop = int(self.starts_P1[place]), int(self.starts_P1[place + 1])
        return Piece(
            sample=int(self.numbers_I[row]),
            epoch=self.epoch + int(np.count_nonzero(self.order_P[:place] == self.order_P[place])),
            shard=self.shard,
            document=int(self.order_P[place]),
            first=max(begin - start, 0),
            end=min(begin + self.length, stop) - start,
            at=max(start - begin, 0),
        )


def _parts(samples: TrainingSamples) -> Iterator[_Part]:
    """The run cut into shards and epochs."""
    first = 0
    for epoch, dataset in enumerate(samples.epochs):
        numbers_E = np.arange(first, first + len(dataset))
        first += len(dataset)
        if not isinstance(dataset, BlendedDataset):
            yield _part(dataset, samples.prefixes[0], epoch, numbers_E, np.arange(len(dataset)))
            continue
        for at, shard in enumerate(samples.prefixes):
            mine_E = np.asarray(dataset.dataset_index) == at
            yield _part(
                dataset.datasets[at],
                shard,
                epoch,
                numbers_E[mine_E],
                np.asarray(dataset.dataset_sample_index)[mine_E],
            )


def _part(dataset: Any, shard: str, epoch: int, numbers_I: np.ndarray, asked_I: np.ndarray) -> _Part:
    order_P = np.asarray(dataset.document_index)
    starts_P1 = np.concatenate([[0], np.cumsum(dataset.dataset.sequence_lengths[order_P], dtype=np.int64)])
    sample_S2 = np.asarray(dataset.sample_index)[:-1]
    return _Part(
        shard=shard,
        epoch=epoch,
        numbers_I=numbers_I,
        places_I=np.asarray(dataset.shuffle_index)[asked_I].astype(np.int64),
        order_P=order_P,
        starts_P1=starts_P1,
        sample_starts_S=starts_P1[sample_S2[:, 0]] + sample_S2[:, 1],
        length=dataset.config.sequence_length + int(dataset.config.add_extra_token_to_sequence),
    )
