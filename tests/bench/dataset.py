"""Microseconds to fetch a sample of 2,048 tokens: FilteredGPTDataset in every mode against Megatron's plain GPTDataset.

One shard of the corpus with GPT-2's ids, random samples in blocks that alternate between the competitors. The naive way
to carry a mask (a second walk over a companion GPTDataset) stands beside it, and one training step of a small model on
the same samples: a fetch should be no more than 1 % of it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from tests.bench.report import hardware, median, save, table
from tokensieve.pretrain.samples.filter_config import FilterConfig, LabelNoise
from tokensieve.pretrain.samples.training_samples import build_datasets
from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard import ShardWriter, token_dtype
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo
from tokensieve.pretrain.training.megatron_patches import quiet_megatron
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SEQ_LENGTH = 2048
BLOCK = 200  # samples per block of one competitor
ROUNDS = 15

Fetch = Callable[[int], dict[str, torch.Tensor]]


def write_shard(folder: Path, files: list[Path]) -> None:
    """One shard of the files' texts with a mask and scores; words of a capital letter stand for forget tokens."""
    tokenizer = ByteTokenizer.load(DATA / "tokenizer", "auto")
    (folder / tokenizer.file_name).write_bytes(tokenizer.data)
    eod = tokenizer.token_id("<|endoftext|>") or 0
    rng, ids = np.random.default_rng(0), []
    with ShardWriter(folder / "shard", token_dtype(tokenizer.vocab_size + 1), scores=True) as writer:
        for file in files:
            rows = pq.read_table(file, columns=["id", "text"])
            tokens = tokenizer.encode(rows["text"].to_pylist())
            ends_D = tokens.bounds_D1[1:]
            ids_T = np.insert(tokens.ids_T, ends_D, eod)
            scores_T = rng.integers(0, 255, len(ids_T)).astype(np.uint8)
            writer.add(ids_T, (scores_T < 200).astype(np.uint8), np.diff(tokens.bounds_D1) + 1, scores_T)
            ids += rows["id"].to_pylist()
        stats = writer.close()
    write_index(folder, ids)
    Manifest(
        tokenizer=TokenizerInfo(
            file=tokenizer.file_name,
            sha256=tokenizer.sha256,
            vocab_size=tokenizer.vocab_size,
            eod=eod,
            hidden_id=tokenizer.vocab_size,
            padded_vocab_size=50304,
        ),
        shards=(ShardInfo(prefix="shard", docs="docs/shard.parquet", **vars(stats)),),
        inputs=Inputs(rule_id="bench", policies={}, bundles={}, source_table={}, seed=0, scores="bench"),
        documents=stats.documents,
        tokens=stats.tokens,
        loss_tokens=stats.loss_tokens,
    ).save(folder)


def write_index(folder: Path, ids: list[str]) -> None:
    import pyarrow as pa

    (folder / "docs").mkdir()
    pq.write_table(pa.table({"doc_id": ids}), folder / "docs" / "shard.parquet")


def competitors(folder: Path) -> dict[str, Fetch]:
    """Every way to fetch sample i of the same order."""

    def filtered(**settings: Any) -> Any:
        made = build_datasets(folder, seq_length=SEQ_LENGTH, samples=1, seed=1, settings=FilterConfig(**settings))
        return made.epochs[0]

    from megatron.core.datasets.gpt_dataset import GPTDataset
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    mask = filtered(mode="mask")
    plain = GPTDataset(mask.dataset, mask.dataset_path, mask.indices, mask.num_samples, mask.index_split, mask.config)
    companion = IndexedDataset(str(folder / "shard_mask"))

    def two_walks(index: int) -> dict[str, torch.Tensor]:
        sample = plain[index]
        tokens, plain.dataset = plain.dataset, companion
        try:
            mask_T1, _ = plain._query_document_sample_shuffle_indices(index)
        finally:
            plain.dataset = tokens
        sample["loss_mask"] = sample["loss_mask"] * torch.from_numpy(mask_T1[1:])
        return sample

    return {
        "plain GPTDataset": plain.__getitem__,
        "filtered: mask": mask.__getitem__,
        "filtered: hide": filtered(mode="hide").__getitem__,
        "filtered: threshold": filtered(threshold=0.5).__getitem__,
        "filtered: noise": filtered(noise=LabelNoise(miss=0.1, false_alarm=0.02)).__getitem__,
        "companion read by a second walk": two_walks,
    }


def fetch_times(ways: dict[str, Fetch], total: int) -> dict[str, list[float]]:
    """Seconds a sample in each block, competitors alternating block by block."""
    rng, times = np.random.default_rng(1), {name: [] for name in ways}
    for way in ways.values():  # page cache and lazy opening
        for index in range(total):
            way(index)
    for _ in range(ROUNDS):
        chosen = rng.integers(0, total, BLOCK).tolist()
        for name, way in ways.items():
            begin = time.perf_counter()
            for index in chosen:
                way(index)
            times[name].append((time.perf_counter() - begin) / BLOCK)
    return times


def step_seconds(folder: Path) -> list[float]:
    """Seconds a sample in training steps of the smallest model of the paper's ladder, after a warm-up step."""
    from tokensieve.pretrain.training.config import PretrainConfig
    from tokensieve.pretrain.training.records import StepRecord
    from tokensieve.pretrain.training.train import train

    settings = PretrainConfig.model_validate(
        {
            "seq_length": SEQ_LENGTH,
            "micro_batch_size": 1,
            "global_batch_size": 1,
            "steps": 4,
            "model": {"layers": 2, "hidden_size": 128, "heads": 4},
            "log_every": 1,
        }
    )
    seen: list[float] = []
    train(
        settings, folder, folder / "run", lambda one: seen.append(one.seconds) if isinstance(one, StepRecord) else None
    )
    return seen[1:]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=12, help="shards of the corpus to read")
    chosen = arguments.parse_args()
    files = sorted((DATA / "corpus").glob("train-*.parquet"))[: chosen.files]
    if not files:
        print(f"skipped: no corpus in {DATA}")
        return
    machine = hardware()
    with tempfile.TemporaryDirectory() as name, quiet_megatron():
        folder = Path(name)
        write_shard(folder, files)
        ways = competitors(folder)
        times = fetch_times(ways, min(5000, (Manifest.load(folder).tokens - 1) // SEQ_LENGTH))
        steps = step_seconds(folder)
    plain = median(times["plain GPTDataset"])
    ratios = {"fetch_over_plain": median([a / b for a, b in zip(times["filtered: mask"], times["plain GPTDataset"])])}
    for way in ("hide", "threshold", "noise"):
        ratios[f"{way}_over_plain"] = median(
            [a / b for a, b in zip(times[f"filtered: {way}"], times["plain GPTDataset"])]
        )
    ratios["two_walks_over_plain"] = median(times["companion read by a second walk"]) / plain
    ratios["fetch_over_step"] = median(times["filtered: mask"]) / median(steps)
    rows = [[name, median(found) * 1e6, median(found) / plain] for name, found in times.items()]
    rows.append(["a training step of 13 M parameters", median(steps) * 1e6, median(steps) / plain])
    print(table(["sample of 2,048 tokens", "us", "over plain"], rows))
    path = save("dataset", ratios, machine, {"seconds_per_sample": times, "step_seconds": steps})
    print(f"fetch_over_plain {ratios['fetch_over_plain']:.2f} (goal: at most 1.2); {path}")


if __name__ == "__main__":
    main()
