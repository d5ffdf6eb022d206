"""The last station of a trace: which samples of the configured run hold a document, read from the run's own dataset.

Needs megatron-core and builds (or finds) its index of the shards, the one that `pretrain train` uses; everywhere else
it says what is missing. The run may train on other shards than the tables' (a mix): the document is looked up there.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.releases.training_runs import of_its_run, output_folder, planned, section, shards_folder
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.documents import places
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.training.plan import Plan, PlanError

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.pretrain.samples.locate import Piece
    from tokensieve.pretrain.samples.training_samples import TrainingSamples
    from tokensieve.pretrain.training.config import PretrainConfig


def training(config: "Config", doc_id: str) -> dict[str, Any]:
    """The samples that hold the document, or under "missing" why there are none to show.

    Raises ManifestError, CorruptShardError, DatasetError.
    """
    if config.pretrain is None:
        return {"missing": "the configuration has no section `pretrain`"}
    if find_spec("torch") is None or find_spec("megatron") is None:
        return {"missing": "megatron-core is not installed here; pip install 'tokensieve[pretrain]'"}
    try:
        config = of_its_run(config)
        settings, todo = section(config), planned(config)
    except PlanError as error:
        return {"missing": str(error)}
    samples = samples_of_run(config, todo)
    from tokensieve.pretrain.samples.locate import pieces_of_document

    pieces = []
    for shard, document in places(
        Corpus.load(shards_folder(config), settings.manifest).shards("train", settings.seq_length), doc_id
    ):
        reader = ShardReader(shard.prefix)
        ids_T, keep_T = np.asarray(reader.ids(document)), np.asarray(reader.loss_mask(document))
        for piece in pieces_of_document(samples, shard.name, document):
            pieces.append(_shown(piece, samples, ids_T, keep_T, settings, todo))
    return {
        "samples_in_run": todo.samples,
        "seq_length": settings.seq_length,
        "pieces": sorted(pieces, key=lambda piece: (piece["sample"], piece["at"])),
    }


def samples_of_run(config: "Config", todo: Plan) -> "TrainingSamples":
    """The samples of the configured run, in its order."""
    from tokensieve.pretrain.training.megatron_patches import quiet_megatron
    from tokensieve.pretrain.training.train import run_samples

    with quiet_megatron():
        return run_samples(section(config), todo, shards_folder(config), output_folder(config))


def _shown(
    piece: "Piece",
    samples: "TrainingSamples",
    ids_T: np.ndarray,
    keep_T: np.ndarray,
    settings: "PretrainConfig",
    todo: Plan,
) -> dict[str, Any]:
    """One piece, with what the dataset gives as labels and loss mask; held against the shard where the exported mask
    decides alone (no score threshold, noise, hiding or delay)."""
    sample = samples[piece.sample]
    labels_L = sample["labels"][piece.labels].numpy()
    loss_mask_L = sample["loss_mask"][piece.labels].numpy()
    first = piece.end - len(labels_L)
    agree = None
    if settings.filter in (FilterConfig(mode="mask"), FilterConfig(mode="none")):
        expected_L = keep_T[first : piece.end] if settings.filter.mode == "mask" else np.ones_like(loss_mask_L)
        agree = np.array_equal(labels_L, ids_T[first : piece.end]) and np.array_equal(loss_mask_L, expected_L)
    return {
        "sample": piece.sample,
        "shard": piece.shard,
        "epoch": piece.epoch,
        "step": piece.sample // settings.global_batch_size if piece.sample < todo.samples else None,
        "first": piece.first,
        "end": piece.end,
        "at": piece.at,
        "labels": len(labels_L),
        "loss_labels": int(np.count_nonzero(loss_mask_L)),
        "agrees_with_shard": agree,
    }
