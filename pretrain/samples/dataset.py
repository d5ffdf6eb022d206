"""Megatron's GPTDataset with a loss mask that belongs to the labels.

One walk over the index reads tokens and mask from the two memory maps, so a sample costs about what a plain
one does. Traded away: reading from object storage; copy the shards to a local disk first.
Mask semantics: arXiv 2601.21571: the mask of the token that is *predicted*, not of the one that is read.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from pretrain.errors import DatasetError
from pretrain.shards.shard import ShardReader


class FilteredGPTDataset(GPTDataset):
    """GPTDataset over one shard whose `loss_mask` is 0 where the label's mask is 0 (and on padding).

    Opening checks that mask and tokens describe the same documents (CorruptShardError), and that this class
    walks the index as the installed megatron-core does (DatasetError).
    """

    config: GPTDatasetConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shard: _MappedShard | None = None
        self._mask_by_thread: dict[int, np.ndarray] = {}
        self._check_walk()

    def __getitem__(self, idx: int | None) -> dict[str, torch.Tensor]:
        sample = super().__getitem__(idx)
        loss_mask_T = sample["loss_mask"]
        if loss_mask_T is self.cached_loss_mask:
            # Megatron hands out (and zeroes the padding of) the very tensor that it caches for later samples.
            self.cached_loss_mask = torch.ones_like(loss_mask_T)
        mask_T1 = self._mask_by_thread.pop(threading.get_ident())
        if self.config.add_extra_token_to_sequence:
            label_mask_T = mask_T1[1:]
        else:
            label_mask_T = np.append(mask_T1[1:], np.uint8(0))
        sample["loss_mask"] = loss_mask_T * torch.from_numpy(label_mask_T)
        return sample

    def _query_document_sample_shuffle_indices(self, idx: int) -> tuple[np.ndarray, np.ndarray]:
        """Megatron's walk for sample `idx`, reading the mask along: int64 ids and document numbers."""
        shard = self._shard or self._open()
        at = shard.shuffle_S[idx]
        (first, first_offset), (last, last_offset) = shard.samples_S2[at : at + 2].tolist()
        documents_D = shard.order_D[first : last + 1]
        starts_D = shard.starts_D[documents_D]
        ends_D = starts_D + shard.lengths_D[documents_D]
        extra = int(self.config.add_extra_token_to_sequence)
        ends_D[-1] = starts_D[-1] + last_offset + extra
        starts_D[0] += first_offset
        spans = [slice(a, b) for a, b in zip(starts_D.tolist(), ends_D.tolist(), strict=True)]
        ids_T = np.concatenate([shard.ids_T[span] for span in spans], dtype=np.int64)
        mask_T = np.concatenate([shard.mask_T[span] for span in spans])
        missing = self.config.sequence_length + extra - ids_T.shape[0]
        if missing > 0:
            ids_T = np.concatenate([ids_T, np.full(missing, self._pad_token_id, np.int64)])
            mask_T = np.concatenate([mask_T, np.zeros(missing, np.uint8)])
        self._mask_by_thread[threading.get_ident()] = mask_T
        return ids_T, documents_D.astype(np.int64)

    def _open(self) -> "_MappedShard":
        reader = ShardReader(Path(str(self.dataset_path)))
        # Plain views: indexing numpy.memmap itself costs several times as much per element.
        self._shard = _MappedShard(
            ids_T=np.asarray(reader.ids_T),
            mask_T=np.asarray(reader.loss_mask_T),
            starts_D=reader.starts_D,
            lengths_D=reader.lengths_D,
            order_D=np.asarray(self.document_index),
            samples_S2=np.asarray(self.sample_index),
            shuffle_S=np.asarray(self.shuffle_index),
        )
        return self._shard

    def _check_walk(self) -> None:
        for idx in sorted({0, len(self) // 2, len(self) - 1}) if len(self) else ():
            expected, _ = super()._query_document_sample_shuffle_indices(idx)
            found, _ = self._query_document_sample_shuffle_indices(idx)
            self._mask_by_thread.clear()
            if not np.array_equal(expected, found):
                raise DatasetError(
                    f"{self.dataset_path}: sample {idx} differs from what GPTDataset reads; this "
                    "megatron-core lays its index out differently; use a version that pyproject.toml allows"
                )

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the files again; pickling a view of a map would copy the whole shard.
        return {**self.__dict__, "_shard": None, "_mask_by_thread": {}}


@dataclass(frozen=True, kw_only=True)
class _MappedShard:
    """One shard's files and Megatron's three indices as plain arrays. S samples, D documents, T tokens."""

    ids_T: np.ndarray
    mask_T: np.ndarray
    starts_D: np.ndarray  # int64, first token of each document
    lengths_D: np.ndarray  # int32
    order_D: np.ndarray  # int32, the document index
    samples_S2: np.ndarray  # int32, (place in order_D, offset in that document) where each sample starts
    shuffle_S: np.ndarray
