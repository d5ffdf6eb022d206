"""The samples of a whole training run: every shard of a manifest, for as many epochs as the run needs.

Each epoch is its own exact pass (seed + epoch), built by Megatron's blend builder, so no sample comes twice
within an epoch and the order does not depend on the length of the run. Traded away: Megatron's blend weights.
The index cache lies in a folder named by the manifest's id, so other shards never meet an old cache.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from pretrain.errors import DatasetError
from pretrain.samples.dataset import FilteredGPTDataset
from pretrain.shards.manifest import Manifest, ShardInfo, TokenizerInfo
from pretrain.shards.megatron_index import read_index
from pretrain.shards.shard import shard_file
from pretrain.training.distributed import process_group
from pretrain.training.plan import samples_in


@dataclass(frozen=True, kw_only=True)
class SampleOrigin:
    """Where a training sample comes from: the shard's prefix in the manifest, and document numbers in it."""

    shard: str
    documents: list[int]


class TrainingSamples:
    """Samples 0, 1, 2, ... of a run: dictionaries of `tokens`, `labels`, `loss_mask`, `position_ids`, T each.

    Sample i belongs to epoch `i // samples_per_epoch`; `epochs` holds Megatron's data set of each, `prefixes` the
    shards' names in the manifest, in the order in which a blend numbers them.
    """

    def __init__(self, epochs: Sequence[Any], prefixes: Sequence[str]) -> None:
        self.epochs = list(epochs)
        self.prefixes = list(prefixes)
        self._starts = np.cumsum([0, *map(len, epochs)]).tolist()
        self.samples_per_epoch = len(self.epochs[0])

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        epoch, place = self._find(index)
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
    loss_mask: Literal["mask", "none"] = "mask",
    cache: Path | None = None,
) -> TrainingSamples:
    """At least `samples` training samples of `seq_length` tokens from every shard of `folder/manifest.json`.

    `loss_mask="none"` trains on every token. `cache` (default `folder/cache`) holds Megatron's indices. Every
    rank calls this when a process group exists. Raises ManifestError, CorruptShardError, DatasetError.
    """
    manifest = Manifest.load(folder)
    shards = [shard for shard in manifest.shards if samples_in(shard.tokens, seq_length)]
    if not shards:
        raise DatasetError(f"{folder}: no shard holds one sample of {seq_length} + 1 tokens; lower seq_length")
    for shard in shards:
        _check_index(folder, shard)
    per_epoch = sum(samples_in(shard.tokens, seq_length) for shard in shards)
    build = _build_epoch if dist.is_initialized() or len(shards) == 1 else _build_epoch_in_own_group
    epochs = []
    for epoch in range(max(1, -(-samples // per_epoch))):
        config = GPTDatasetConfig(
            random_seed=seed + epoch,
            sequence_length=seq_length,
            blend_per_split=[([str(folder / shard.prefix) for shard in shards], None), None, None],
            path_to_cache=str((cache or folder / "cache") / manifest.id),
            tokenizer=_TokenizerStandIn(manifest.tokenizer),  # type: ignore[arg-type]
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        epochs.append(build(FilteredGPTDataset if loss_mask == "mask" else GPTDataset, config))
    return TrainingSamples(epochs, [shard.prefix for shard in shards])


class _TokenizerStandIn:
    """What Megatron asks a tokenizer for. Padding is -1, which is no id, so no token is taken for it."""

    pad = -1
    vocab_size = None  # Megatron would derive a dtype from it; the shard's header says the dtype

    def __init__(self, info: TokenizerInfo) -> None:
        self.eod = self.eos = info.eod
        self.unique_identifiers = {"sha256": info.sha256, "eod": info.eod}


def _build_epoch(kind: type[GPTDataset], config: GPTDatasetConfig) -> Any:
    sizes: Any = [None, None, None]
    return BlendedMegatronDatasetBuilder(kind, sizes, lambda: True, config).build()[0]


def _build_epoch_in_own_group(kind: type[GPTDataset], config: GPTDatasetConfig) -> Any:
    # BlendedDataset asks torch.distributed for a rank before it writes its cache.
    with process_group(torch.device("cpu")):
        return _build_epoch(kind, config)


def _check_index(folder: Path, shard: ShardInfo) -> None:
    index = read_index(shard_file(folder / shard.prefix, ".idx"))
    if (index.documents, index.elements) != (shard.documents, shard.tokens):
        raise DatasetError(
            f"{folder / shard.prefix}.idx: {index.documents} documents and {index.elements} tokens, the "
            f"manifest says {shard.documents} and {shard.tokens}; the shard was written again, export anew"
        )
