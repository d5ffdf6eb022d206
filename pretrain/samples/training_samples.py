"""The samples of a whole training run: every shard of a corpus, for as many epochs as the run needs.

Of a shard set, each epoch is its own exact pass (seed + epoch): no sample comes twice within an epoch, and the order
does not depend on the length of the run. Of a blend, Megatron draws by weight; there the order belongs to the run's
length. The index cache lies in a folder named by the corpus, so other shards never meet an old cache.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.process_group import process_group
from tokensieve.pretrain.samples.corpus import Corpus, CorpusShard, samples_in
from tokensieve.pretrain.samples.dataset import FilteredGPTDataset, FilteredGPTDatasetConfig, unfiltered
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.samples.filter_decisions import score_level
from tokensieve.pretrain.samples.index_cache import refuse_pickles
from tokensieve.pretrain.shards.megatron_index import read_index
from tokensieve.pretrain.shards.shard import shard_file
from tokensieve.pretrain.shards.shard_info import Split, TokenizerInfo


@dataclass(frozen=True, kw_only=True)
class SampleOrigin:
    """Where a training sample comes from: the shard's name in the corpus, and document numbers in it."""

    shard: str
    documents: list[int]


class TrainingSamples(torch.utils.data.Dataset):
    """Samples 0, 1, 2, ... of a run: dictionaries of `tokens`, `labels`, `loss_mask`, `position_ids`, T each.

    Sample i belongs to epoch `i // samples_per_epoch`; `epochs` holds Megatron's data set of each, `prefixes` the
    shards' names in the corpus, in the order in which a blend numbers them. Samples before `first_filtered_sample` are
    as exported, every label bearing loss.
    """

    def __init__(self, epochs: Sequence[Any], prefixes: Sequence[str], first_filtered_sample: int = 0) -> None:
        self.epochs = list(epochs)
        self.prefixes = list(prefixes)
        self.first_filtered_sample = first_filtered_sample
        self._starts = np.cumsum([0, *map(len, epochs)]).tolist()
        self.samples_per_epoch = len(self.epochs[0])

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        epoch, place = self._find(index)
        if index < self.first_filtered_sample:
            return unfiltered(self.epochs[epoch], place)
        return self.epochs[epoch][place]

    def origin(self, index: int) -> SampleOrigin:
        """The shard and the documents that sample `index` was cut from. Raises IndexError."""
        epoch, place = self._find(index)
        dataset: Any = self.epochs[epoch]
        shard = 0
        if isinstance(dataset, BlendedDataset):
            shard, place = int(dataset.dataset_index[place]), int(dataset.dataset_sample_index[place])
            dataset = dataset.datasets[shard]
        _, documents_D = GPTDataset._query_document_sample_shuffle_indices(dataset, place)
        return SampleOrigin(shard=self.prefixes[shard], documents=documents_D.tolist())

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        epoch = bisect.bisect_right(self._starts, index) - 1
        return epoch, index - self._starts[epoch]


def build_datasets(
    folder: Path,
    *,
    seq_length: int,
    samples: int,
    seed: int,
    settings: FilterConfig | None = None,
    first_filtered_sample: int = 0,
    split: Split = "train",
    cache: Path | None = None,
    manifest: str | None = None,
) -> TrainingSamples:
    """At least `samples` training samples of `seq_length` tokens from every shard of a corpus's split.

    `settings` (default: the exported mask) says how forget tokens are treated. `cache` (default `folder/cache`) holds
    Megatron's indices; `manifest` names one of the folder's that is not the newest. Every rank calls this when a
    process group exists. The order of a blend's samples follows from `samples`: give the run's total.
    Raises ManifestError, CorruptShardError, DatasetError.
    """
    corpus, settings = Corpus.load(folder, manifest), settings or FilterConfig()
    shards = corpus.shards(split, seq_length)
    if not shards:
        raise DatasetError(
            f"{folder}: no shard of split {split} holds one sample of {seq_length} + 1 tokens; lower seq_length"
        )
    for shard in shards:
        _check_index(shard)
    options: dict[str, Any] = {
        "sequence_length": seq_length,
        "path_to_cache": str((cache or folder / "cache") / corpus.id),
        "tokenizer": TokenizerStandIn(corpus.tokenizer),
        "reset_position_ids": False,
        "reset_attention_mask": False,
        "eod_mask_loss": False,
        "create_attention_mask": False,
        "filter": settings,
        "level": score_level(settings, corpus),
        "hidden_id": corpus.tokenizer.hidden_id,
    }
    prefixes = [str(shard.prefix) for shard in shards]
    if corpus.blend and split == "train":
        blend: Any = (prefixes, [shard.weight for shard in shards])
        epochs = [
            _build(FilteredGPTDatasetConfig(random_seed=seed, blend_per_split=[blend, None, None], **options), samples)
        ]
    else:
        per_epoch = sum(samples_in(shard.info.tokens, seq_length) for shard in shards)
        blend_one = [(prefixes, None), None, None]
        epochs = [
            _build(FilteredGPTDatasetConfig(random_seed=seed + epoch, blend_per_split=blend_one, **options), None)
            for epoch in range(max(1, -(-samples // per_epoch)))
        ]
    return TrainingSamples(epochs, [shard.name for shard in shards], first_filtered_sample)


class TokenizerStandIn:
    """What Megatron asks a tokenizer for. Padding is -1, which is no id, so no token is taken for it."""

    pad = -1
    vocab_size = None  # Megatron would derive a dtype from it; the shard's header says the dtype

    def __init__(self, info: TokenizerInfo) -> None:
        self.eod = self.eos = info.eod
        self.unique_identifiers = {"sha256": info.sha256, "eod": info.eod}


def _build(config: FilteredGPTDatasetConfig, samples: int | None) -> Any:
    """One epoch of a shard set, or a blend of so many samples."""
    if not dist.is_initialized() or dist.get_rank() == 0:  # the first process writes indices, the others wait for it
        refuse_pickles(config.path_to_cache)
    if dist.is_initialized():
        return _build_here(config, samples)
    # BlendedDataset asks torch.distributed for a rank before it writes its cache.
    with process_group(torch.device("cpu")):
        return _build_here(config, samples)


def _build_here(config: FilteredGPTDatasetConfig, samples: int | None) -> Any:
    sizes: Any = [samples, None, None]
    return BlendedMegatronDatasetBuilder(FilteredGPTDataset, sizes, lambda: True, config).build()[0]


def _check_index(shard: CorpusShard) -> None:
    index, info = read_index(shard_file(shard.prefix, ".idx")), shard.info
    if (index.documents, index.elements) != (info.documents, info.tokens):
        raise DatasetError(
            f"{shard.prefix}.idx: {index.documents} documents and {index.elements} tokens, the "
            f"manifest says {info.documents} and {info.tokens}; the shard was written again, export anew"
        )
