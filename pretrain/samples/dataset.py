"""Megatron's GPTDataset with the filter's decisions: a loss mask that belongs to the labels, or hidden ids as well.

One walk over the index reads tokens and companion from two memory maps, so a sample costs about what a plain one does.
Traded away: reading from object storage; copy the shards to a local disk first.
Mask semantics: arXiv 2601.21571: the mask of the token that is *predicted*, not of the one that is read.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.samples.filter_decisions import document_keys, flipped
from tokensieve.pretrain.samples.index_cache import refuse_pickles
from tokensieve.pretrain.shards.shard import ShardReader


@dataclass
class FilteredGPTDatasetConfig(GPTDatasetConfig):
    """GPTDatasetConfig and how forget tokens are treated; none of it changes the index or its cache."""

    filter: FilterConfig = field(default_factory=FilterConfig)
    level: int | None = None
    """Forget tokens whose stored score is at least this grid value (`udfs.scores`); None: the exported mask."""
    hidden_id: int | None = None
    """The id that stands for a hidden token; needed by mode `hide`."""


class FilteredGPTDataset(GPTDataset):
    """GPTDataset over one shard whose `loss_mask` is 0 where the label is to be forgotten (and on padding).

    Opening checks that companion and tokens describe the same documents (CorruptShardError), and that this class
    walks the index as the installed megatron-core does (DatasetError).
    """

    config: FilteredGPTDatasetConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shard: _MappedShard | None = None
        self._keys_D: np.ndarray | None = None
        self._thread = threading.local()
        # One extra token, and nothing that depends on where documents end.
        self._is_plain = (
            self.config.add_extra_token_to_sequence
            and self.masks_and_position_ids_are_cacheable
            and not self.config.create_attention_mask
        )
        self._position_ids = torch.arange(self.config.sequence_length)
        if self.config.filter.mode == "hide" and self.config.hidden_id is None:
            raise DatasetError(f"{self.dataset_path}: mode hide needs the id of the hidden token")
        self._check_walk()

    def __getitem__(self, idx: int | None) -> dict[str, torch.Tensor]:
        return self._sample(idx, self.config.filter.mode != "none")

    def unfiltered(self, idx: int) -> dict[str, torch.Tensor]:
        """Sample `idx` as it was exported, every label bearing loss."""
        return self._sample(idx, filtering=False)

    def _sample(self, idx: int | None, filtering: bool) -> dict[str, torch.Tensor]:
        self._thread.filtering = filtering
        if self._is_plain and idx is not None:
            ids_T1, _ = self._query_document_sample_shuffle_indices(idx)
            if ids_T1[-1] != self._pad_token_id:  # nothing to pad: most samples, and at half of Megatron's cost
                text_T1 = torch.from_numpy(ids_T1)
                keep_T = self._label_keep(self._thread.keep_T1) if filtering else np.ones(len(ids_T1) - 1, np.uint8)
                return {
                    "tokens": text_T1[:-1],
                    "labels": text_T1[1:],
                    "loss_mask": torch.from_numpy(keep_T).float(),
                    "position_ids": self._position_ids,
                }
        return self._megatrons_sample(idx, filtering)

    def _megatrons_sample(self, idx: int | None, filtering: bool) -> dict[str, torch.Tensor]:
        """Whatever the settings and with padding: Megatron's own sample, and the filter's loss mask."""
        sample = super().__getitem__(idx)
        loss_mask_T = sample["loss_mask"]
        if loss_mask_T is self.cached_loss_mask:
            # Megatron hands out (and zeroes the padding of) the very tensor that it caches for later samples.
            self.cached_loss_mask = torch.ones_like(loss_mask_T)
        if filtering:
            sample["loss_mask"] = loss_mask_T * torch.from_numpy(self._label_keep(self._thread.keep_T1))
        return sample

    def _label_keep(self, keep_T1: np.ndarray) -> np.ndarray:
        """uint8 [sequence length]: whether each label bears loss."""
        extra = self.config.add_extra_token_to_sequence
        if self.config.filter.align == "input":
            return keep_T1[:-1] if extra else keep_T1
        return keep_T1[1:] if extra else np.append(keep_T1[1:], np.uint8(0))

    def _query_document_sample_shuffle_indices(self, idx: int) -> tuple[np.ndarray, np.ndarray]:
        """Megatron's walk for sample `idx`, reading the companion along: int64 ids and document numbers."""
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
        missing = self.config.sequence_length + extra - ids_T.shape[0]
        if self._thread.filtering:
            keep_T = self._keep(shard, spans, documents_D)
            if self.config.filter.mode == "hide":
                ids_T = np.where(keep_T == 0, np.int64(self.config.hidden_id or 0), ids_T)
            self._thread.keep_T1 = np.append(keep_T, np.zeros(missing, np.uint8)) if missing > 0 else keep_T
        if missing > 0:
            ids_T = np.append(ids_T, np.full(missing, self._pad_token_id, np.int64))
        return ids_T, documents_D.astype(np.int64)

    def _keep(self, shard: "_MappedShard", spans: list[slice], documents_D: np.ndarray) -> np.ndarray:
        """uint8 [T]: 1 for the tokens of these pieces that are not to be forgotten."""
        companion_T = np.concatenate([shard.companion_T[span] for span in spans])
        level, noise = self.config.level, self.config.filter.noise
        keep_T = companion_T if level is None else (companion_T < level).astype(np.uint8)
        if noise is None:
            return keep_T
        if self._keys_D is None:
            self._keys_D = document_keys(Path(str(self.dataset_path)))
        lengths_P = np.array([span.stop - span.start for span in spans])
        firsts_P = np.array([span.start for span in spans]) - shard.starts_D[documents_D]
        at_T = np.arange(len(keep_T)) + np.repeat(firsts_P - np.cumsum(lengths_P) + lengths_P, lengths_P)
        is_eod_T = at_T == np.repeat(shard.lengths_D[documents_D] - 1, lengths_P)
        return flipped(noise, keep_T, np.repeat(self._keys_D[documents_D], lengths_P), at_T, fixed_T=is_eod_T)

    def _open(self) -> "_MappedShard":
        reader = ShardReader(Path(str(self.dataset_path)))
        companion_T = reader.loss_mask_T if self.config.level is None else reader.scores_T
        # Plain views: indexing numpy.memmap itself costs several times as much per element.
        self._shard = _MappedShard(
            ids_T=np.asarray(reader.ids_T),
            companion_T=np.asarray(companion_T),
            starts_D=reader.starts_D,
            lengths_D=reader.lengths_D,
            order_D=np.asarray(self.document_index),
            samples_S2=np.asarray(self.sample_index),
            shuffle_S=np.asarray(self.shuffle_index),
        )
        return self._shard

    def _build_document_sample_shuffle_indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        refuse_pickles(self.config.path_to_cache, f"{self.unique_description_hash}-*.npy")
        return super()._build_document_sample_shuffle_indices()

    def _check_walk(self) -> None:
        self._thread.filtering = False
        for idx in sorted({0, len(self) // 2, len(self) - 1}) if len(self) else ():
            expected, _ = super()._query_document_sample_shuffle_indices(idx)
            found, _ = self._query_document_sample_shuffle_indices(idx)
            theirs, ours = self._megatrons_sample(idx, filtering=False), self.unfiltered(idx)
            alike = all(torch.equal(theirs[name], ours[name]) for name in theirs if theirs[name] is not None)
            if not np.array_equal(expected, found) or not alike:
                raise DatasetError(
                    f"{self.dataset_path}: sample {idx} differs from what GPTDataset reads; this "
                    "megatron-core lays its index out differently; use a version that pyproject.toml allows"
                )

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the files again; pickling a view of a map would copy the whole shard.
        return {**self.__dict__, "_shard": None, "_thread": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._thread = threading.local()


@dataclass(frozen=True, kw_only=True)
class _MappedShard:
    """One shard's files and Megatron's three indices as plain arrays. S samples, D documents, T tokens."""

    ids_T: np.ndarray
    companion_T: np.ndarray  # uint8, the loss mask or the scores
    starts_D: np.ndarray  # int64, first token of each document
    lengths_D: np.ndarray  # int32
    order_D: np.ndarray  # int32, the document index
    samples_S2: np.ndarray  # int32, (place in order_D, offset in that document) where each sample starts
    shuffle_S: np.ndarray


class DelayedFilter(torch.utils.data.Dataset):
    """A FilteredGPTDataset, or a BlendedDataset of them, that filters from sample `first_filtered_sample` on: before it
    every token bears loss (arXiv 2601.21571, delayed filtering). Samples must be asked for in the order of training, as
    Megatron's samplers do."""

    def __init__(self, dataset: Any, first_filtered_sample: int) -> None:
        self.dataset = dataset
        self.first_filtered_sample = first_filtered_sample

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index >= self.first_filtered_sample:
            return self.dataset[index]
        return unfiltered(self.dataset, index)


def unfiltered(dataset: Any, index: int) -> dict[str, Any]:
    """Sample `index` with every label bearing loss and no id hidden."""
    if not isinstance(dataset, BlendedDataset):
        return dataset.unfiltered(index)
    at = dataset.dataset_index[index]
    return {"dataset_id": at, **dataset.datasets[at].unfiltered(dataset.dataset_sample_index[index])}
