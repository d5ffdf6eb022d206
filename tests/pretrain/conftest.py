"""Small corpora (shards and manifest) written with the real writer."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard import ShardWriter, token_dtype
from tokensieve.pretrain.shards.shard_info import ShardInfo, Split, TokenizerInfo

Document = tuple[Sequence[int], ...]  # ids, loss mask, and scores where the shard has them
WriteCorpus = Callable[..., Path]


@pytest.fixture
def write_corpus(tmp_path) -> WriteCorpus:
    """`write_corpus(shard, shard, ..., name=, vocab=)`: a shard is a list of (ids, loss mask); eod is 0."""

    def write(*shards: Sequence[Document], name: str = "corpus", **options: Any) -> Path:
        (tmp_path / name).mkdir()
        return write_corpus_in(tmp_path / name, shards, **options)

    return write


@pytest.fixture(scope="session")
def corpus_writer() -> WriteCorpus:
    """`corpus_writer(folder, shards)`, for property tests, which make a folder for every example."""
    return write_corpus_in


def write_corpus_in(
    folder: Path,
    shards: Sequence[Sequence[Document]],
    *,
    vocab: int = 64,
    hidden: int = 63,
    splits: Sequence[Split] = (),
) -> Path:
    """Write shards, a stand-in tokenizer file and the manifest into an existing folder.

    `splits` has one split a shard; shards beyond it are `train`. Document d of shard s has the id `<prefix of s>/d`.
    """
    (folder / "tokenizer.json").write_bytes(b"{}")
    every_split: list[Split] = [*splits, *["train"] * (len(shards) - len(splits))]  # type: ignore[list-item]
    scores = "p" if len(shards[0][0]) == 3 else None
    infos = [
        _write_shard(folder, f"shard-{i:05d}", shard, vocab, split)
        for i, (shard, split) in enumerate(zip(shards, every_split, strict=True))
    ]
    Manifest(
        tokenizer=TokenizerInfo(
            file="tokenizer.json",
            sha256=hashlib.sha256(b"{}").hexdigest(),
            vocab_size=vocab,
            eod=0,
            hidden_id=hidden,
            padded_vocab_size=vocab,
        ),
        shards=tuple(infos),
        inputs=Inputs(rule_id="r", policies={"p": "1"}, bundles={"p": "2"}, source_table={}, seed=0, scores=scores),
        documents=sum(i.documents for i in infos),
        tokens=sum(i.tokens for i in infos),
        loss_tokens=sum(i.loss_tokens for i in infos),
    ).save(folder)
    return folder


def _write_shard(folder: Path, prefix: str, documents: Sequence[Document], vocab: int, split: Split) -> ShardInfo:
    with ShardWriter(folder / prefix, token_dtype(vocab), scores=len(documents[0]) == 3) as writer:
        columns = [np.concatenate([np.asarray(part) for part in column]) for column in zip(*documents, strict=True)]
        scores_T = columns[2].astype(np.uint8) if len(columns) == 3 else None
        writer.add(columns[0], columns[1], np.array([len(one[0]) for one in documents]), scores_T)
        stats = writer.close()
    docs = folder / "docs" / f"{prefix}.parquet"
    docs.parent.mkdir(exist_ok=True)
    names = [f"{prefix}/{row}" for row in range(len(documents))]
    pq.write_table(pa.table({"index": range(len(documents)), "doc_id": names}), docs)
    return ShardInfo(
        prefix=prefix,
        docs=f"docs/{prefix}.parquet",
        split=split,
        documents=stats.documents,
        tokens=stats.tokens,
        loss_tokens=stats.loss_tokens,
        score_counts=stats.score_counts,
        sha256=stats.sha256,
    )
