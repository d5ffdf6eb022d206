"""The last station of a trace: which samples of the configured run hold a document, read from the run's own dataset.

Needs megatron-core and builds (or finds) its index of the shards, the one that `pretrain train` uses; everywhere else
it says what is missing.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.exported import Exported, Place
from pretrain.training.plan import PlanError, plan

if TYPE_CHECKING:
    from jobs.config import Config
    from pretrain.samples.locate import Piece
    from pretrain.samples.training_samples import TrainingSamples
    from pretrain.training.config import PretrainConfig


def training(config: "Config", place: Place, exported: Exported) -> dict[str, Any]:
    """The samples that hold the document, or under "missing" why there are none to show.

    Raises ManifestError, CorruptShardError, DatasetError.
    """
    if config.pretrain is None:
        return {"missing": "the configuration has no section `pretrain`"}
    if find_spec("torch") is None or find_spec("megatron") is None:
        return {"missing": "megatron-core is not installed here; pip install 'tokensieve[pretrain]'"}
    try:
        todo = plan(config.pretrain, config.tables.shards)
    except PlanError as error:
        return {"missing": str(error)}
    from jobs.train import output_folder

    samples, pieces = _pieces(config.pretrain, config.tables.shards, output_folder(config), todo.samples, place)
    return {
        "samples_in_run": todo.samples,
        "seq_length": config.pretrain.seq_length,
        "pieces": [_shown(piece, samples, exported, config.pretrain, todo.samples) for piece in pieces],
    }


def _pieces(
    settings: "PretrainConfig", shards: Path, out: Path, wanted: int, place: Place
) -> "tuple[TrainingSamples, list[Piece]]":
    from pretrain.training.quiet import quiet_megatron

    with quiet_megatron():
        from pretrain.samples.locate import pieces_of_document
        from pretrain.samples.training_samples import build_datasets

    samples = build_datasets(
        shards,
        seq_length=settings.seq_length,
        samples=wanted,
        seed=settings.seed,
        loss_mask="none" if settings.filter.mode == "none" else "mask",
        cache=out / "index-cache",
    )
    return samples, pieces_of_document(samples, place.shard, place.index)


def _shown(
    piece: "Piece", samples: "TrainingSamples", exported: Exported, settings: "PretrainConfig", wanted: int
) -> dict[str, Any]:
    """One piece, with what the dataset gives as labels and loss mask held against the shard."""
    sample = samples[piece.sample]
    labels_L = sample["labels"][piece.labels].numpy()
    loss_mask_L = sample["loss_mask"][piece.labels].numpy()
    first = piece.end - len(labels_L)
    expected_L = exported.loss_mask_T[first : piece.end] if settings.filter.mode != "none" else np.ones_like(loss_mask_L)
    agree = np.array_equal(labels_L, exported.ids_T[first : piece.end]) and np.array_equal(loss_mask_L, expected_L)
    return {
        "sample": piece.sample,
        "epoch": piece.epoch,
        "step": piece.sample // settings.global_batch_size if piece.sample < wanted else None,
        "first": piece.first,
        "end": piece.end,
        "at": piece.at,
        "labels": len(labels_L),
        "loss_labels": int(np.count_nonzero(loss_mask_L)),
        "agrees_with_shard": bool(agree),
    }
