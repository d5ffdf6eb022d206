"""Delayed filtering: samples before a given one train on every token (arXiv 2601.21571, delayed filtering).

The data set's samples must come in the order of training, as Megatron's samplers read them.
"""

from typing import Any

import torch
from megatron.core.datasets.blended_dataset import BlendedDataset


class DelayedFilter(torch.utils.data.Dataset):
    """A FilteredGPTDataset, or a BlendedDataset of them, that filters from sample `first_filtered_sample` on."""

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
