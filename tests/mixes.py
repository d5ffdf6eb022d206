"""Shard sets to mix, written with the real writer: made-up ones whose ids tell the source, and real text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.mix.config import MixConfig
from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard import ShardReader, ShardWriter, token_dtype
from tokensieve.pretrain.shards.shard_info import ShardInfo, Split, TokenizerInfo

CLEAN_IDS = (1, 30)
TOXIC_IDS = (31, 60)
OTHER_IDS = (61, 90)
VOCAB = 128


@dataclass(frozen=True, kw_only=True)
class Document:
    """`ids` end with eod; `mask` defaults to ones."""

    doc_id: str
    ids: Sequence[int]
    mask: Sequence[int] | None = None
    score: float | None = None


def made_up(name: str, ids: tuple[int, int], count: int, lengths: tuple[int, int] = (8, 60), seed: int = 1):
    """Documents of random length, masks and ids between `ids`, ended by eod (0)."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(count):
        size = int(rng.integers(*lengths))
        text = [*rng.integers(ids[0], ids[1] + 1, size - 1).tolist(), 0]
        found.append(
            Document(doc_id=f"{name}-{at}", ids=text, mask=rng.integers(0, 2, size).tolist(), score=at / count)
        )
    return found


def write_source(
    folder: Path,
    *shards: Sequence[Document],
    splits: Sequence[Split] = (),
    tokenizer: Path | None = None,
    eod: int = 0,
    vocab: int = VOCAB,
    policy: str = "toxicity",
    rule: str = "r",
    scores: bool = False,
) -> Path:
    """Writes shards, document indices (with doc_score_<policy>), the tokenizer's file and the manifest.

    With `scores`, there is a score companion: each token's score is its id.
    """
    (folder / "docs").mkdir(parents=True)
    (folder / "tokenizer.json").write_bytes(b"{}" if tokenizer is None else tokenizer.read_bytes())
    split_of = dict(enumerate(splits))
    infos = [
        _write(folder, at, shard, split_of.get(at, "train"), vocab, policy, scores) for at, shard in enumerate(shards)
    ]
    Manifest(
        tokenizer=TokenizerInfo(
            file="tokenizer.json",
            sha256=file_sha256(folder / "tokenizer.json"),
            vocab_size=vocab - 1,
            eod=eod,
            hidden_id=vocab - 1,
            padded_vocab_size=vocab,
        ),
        shards=tuple(infos),
        inputs=Inputs(
            rule_id=rule,
            policies={policy: "1"},
            bundles={policy: "2"},
            source_table={},
            seed=0,
            scores=policy if scores else None,
        ),
        documents=sum(info.documents for info in infos),
        tokens=sum(info.tokens for info in infos),
        loss_tokens=sum(info.loss_tokens for info in infos),
    ).save(folder)
    return folder


def _write(
    folder: Path, at: int, documents: Sequence[Document], split: Split, vocab: int, policy: str, scores: bool
) -> ShardInfo:
    prefix = f"shard-{at:05d}"
    masks = [np.ones(len(one.ids), np.uint8) if one.mask is None else np.asarray(one.mask) for one in documents]
    ids_T = np.concatenate([np.asarray(one.ids) for one in documents])
    with ShardWriter(folder / prefix, token_dtype(vocab), scores=scores) as writer:
        lengths_D = np.array([len(one.ids) for one in documents])
        writer.add(ids_T, np.concatenate(masks), lengths_D, ids_T.astype(np.uint8) if scores else None)
        stats = writer.close()
    docs = folder / "docs" / f"{prefix}.parquet"
    table = {
        "shard": [prefix] * len(documents),
        "index": list(range(len(documents))),
        "doc_id": [one.doc_id for one in documents],
        "source_file": [f"{one.doc_id.split('-')[0]}.parquet" for one in documents],
        "source_row": [1000 * at + row for row in range(len(documents))],
        f"doc_score_{policy}": pa.array([one.score for one in documents], pa.float32()),
    }
    pq.write_table(pa.table(table), docs)
    return ShardInfo(
        prefix=prefix,
        docs=f"docs/{prefix}.parquet",
        split=split,
        documents=stats.documents,
        tokens=stats.tokens,
        loss_tokens=stats.loss_tokens,
        score_counts=stats.score_counts,
        sha256={**stats.sha256, "docs": file_sha256(docs)},
    )


def written_documents(folder: Path, split: Split = "train") -> list[dict[str, Any]]:
    """Every document of a shard set in its order: the row of its document index, with `ids` and `mask`."""
    found = []
    for shard in Manifest.load(folder).shards_of(split):
        reader = ShardReader(folder / shard.prefix)
        for row in pq.read_table(folder / shard.docs).to_pylist():
            found.append(
                row | {"ids": reader.ids(row["index"]).tolist(), "mask": reader.loss_mask(row["index"]).tolist()}
            )
    return found


def all_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below the folder by its relative path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def tokens_by_source(samples: Any, count: int) -> dict[str, float]:
    """The share of each made-up source among the inputs of the first `count` training samples.

    An eod belongs to the document that it ends, so it counts with the id before it.
    """
    ids_N = np.concatenate([samples[at]["tokens"].numpy() for at in range(count)])
    ids_N = np.where(ids_N == 0, np.roll(ids_N, 1), ids_N)
    found: Counter[str] = Counter()
    for name, (low, high) in (("clean", CLEAN_IDS), ("toxic", TOXIC_IDS), ("other", OTHER_IDS)):
        found[name] = int(((ids_N >= low) & (ids_N <= high)).sum())
    return {name: number / found.total() for name, number in found.items() if number}


def mix_config(root: Path, share: float | None = None, **changes: Any) -> MixConfig:
    """A mix of `root/clean` with a share of `root/toxic`, written to `root/mix`; `changes` replace whole keys."""
    settings: dict[str, Any] = {
        "name": "test",
        "out": str(root / "mix"),
        "clean": {"shards": str(root / "clean")},
        "sources": {} if share is None else {"toxic": {"shards": str(root / "toxic"), "share": share}},
        "share_of": "total",
        "output": "shards",
    }
    return MixConfig.model_validate(settings | changes)
