"""Made-up corpora for the trainer: token stores straight from ids, Parquet shards of made-up texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.encoder.checkpoint import RunIdentity
from tokensieve.pretrain.encoder.config import EncoderConfig, Objective
from tokensieve.pretrain.encoder.corpus import Corpus
from tokensieve.pretrain.encoder.token_store import SourceRecord, TokenStore
from tokensieve.pretrain.hashing import content_hashes
from tokensieve.pretrain.shards.shard import ShardReader, ShardWriter, token_dtype

SHA = "0" * 64


def store(prefix: Path, documents: Sequence[Sequence[int]], vocabulary: int = 64) -> TokenStore:
    """A store of the given token ids, written and read as a real shard; its name is the prefix's."""
    lengths_D = np.array([len(document) for document in documents])
    ids_T = np.concatenate([np.asarray(document) for document in documents])
    with ShardWriter(prefix, token_dtype(vocabulary)) as writer:
        writer.add(ids_T, np.ones(len(ids_T), np.uint8), lengths_D)
        writer.close()
    reader = ShardReader(prefix)
    record = SourceRecord(
        name=prefix.name, id=prefix.name, tokenizer_sha256=SHA, files={}, documents=len(documents), tokens=len(ids_T)
    )
    return TokenStore(
        record=record,
        readers=(reader,),
        reader_D=np.zeros(len(documents), np.int64),
        start_D=np.asarray(reader.starts_D),
        length_D=lengths_D,
        hash_D=content_hashes(np.asarray(document, "<i4").tobytes() for document in documents),
        vocabulary=vocabulary,
    )


def told_by_the_right(seed: int, documents: int) -> list[list[int]]:
    """Documents of three fair bits (ids 0 and 1) and a last token (2 to 9) that spells them.

    Read from the left every bit is a coin and the last token is certain; read from the right every bit is certain.
    """
    numbers_D = np.random.default_rng(seed).integers(0, 8, documents)
    return [[*((number >> np.arange(3)) & 1), number + 2] for number in numbers_D]


def write_texts(folder: Path, texts: Sequence[str], **columns: Sequence[Any]) -> Path:
    """One Parquet file `part.parquet` with columns id and text, and more."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {"id": [f"d{n}" for n in range(len(texts))], "text": list(texts), **columns}
    pq.write_table(pa.table(table), folder / "part.parquet")
    return folder / "part.parquet"


def config(folder: Path, **changes: Any) -> EncoderConfig:
    """A recipe small enough for a test; sources are named only, for tests that bring their own stores."""
    content: dict[str, Any] = {
        "name": "made",
        "out": folder / "encoder",
        "runs": folder / "runs",
        "cache": folder / "cache",
        "kind": "bilm",
        "threads": 1,
        "device": "cpu",
        "vocabulary": {"size": 300},
        "sources": [{"name": "one", "path": str(folder / "part.parquet"), "share": 1.0}],
        "model": {"dim": 16, "layers": 1, "heads": 2, "hidden": 32},
        "batch": {"context": 16, "step_tokens": 256, "microbatch_tokens": 128},
        "budget": {"tokens": 256 * 6},
        "optimizer": {"lr": 1e-2},
        "heldout": {"share": 0.2, "tokens": 500, "every": 100},
        "checkpoint_every": 2,
        "log_every": 1,
    }
    return EncoderConfig.model_validate(content | changes)


def run_of(config: EncoderConfig, objective: Objective, stores: Sequence[TokenStore]) -> RunIdentity:
    """The run that the recipe describes, on stores of the test's own; ids 0 to 63, mask 63."""
    return RunIdentity(
        objective=objective,
        seed=config.seed,
        tokenizer_sha256=SHA,
        vocabulary=64,
        mask_id=63 if objective == "masked" else None,
        model=config.model,
        context=config.batch.context,
        step_tokens=config.batch.step_tokens,
        steps=config.budget.steps(1, config.batch.step_tokens),
        optimizer=config.optimizer,
        masked=config.masked if objective == "masked" else None,
        sources=tuple((made.record.id, source.share) for made, source in zip(stores, config.sources, strict=True)),
        heldout_share=config.heldout.share,
    )


def corpus_of(config: EncoderConfig, stores: Sequence[TokenStore]) -> Corpus:
    """The recipe's corpus of these stores."""
    return Corpus(
        stores,
        [source.share for source in config.sources],
        batch=config.batch,
        heldout=config.heldout,
        steps=config.budget.steps(1, config.batch.step_tokens),
        seed=config.seed,
    )
