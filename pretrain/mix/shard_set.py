"""Writes chosen documents as a shard set of its own: shuffled, content-named shards, document index, manifest last.

The document index says for every document which source and row it came from. The clean part's valid and test shards
come along unchanged, linked where the file system can, so that all mixes of one clean part are measured on one text.
"""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.errors import MixError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.mix.config import CLEAN, MixConfig
from tokensieve.pretrain.mix.gather import Gatherer
from tokensieve.pretrain.mix.inputs import mixed_inputs
from tokensieve.pretrain.mix.order import Order, shuffled
from tokensieve.pretrain.mix.plan import Part
from tokensieve.pretrain.mix.source import Source
from tokensieve.pretrain.shards.manifest import Manifest, inside
from tokensieve.pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, ShardWriter, shard_file, token_dtype
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo

PREFIX = "mix-"
BATCH_TOKENS = 2**25  # read, and held in memory, at a time
OWN_COLUMNS = ("shard", "index", "doc_id", "source", "pass", "prefix_tokens", "source_file", "source_row")
"""Columns of the document index; others of the sources' indices, such as doc_score_*, follow, null where one lacks
them. `prefix_tokens` tokens of the document are an annotator's and not of its text."""


def write_shard_set(folder: Path, config: MixConfig, parts: tuple[Part, ...]) -> Manifest:
    """Writes the parts' chosen documents into the empty folder and returns its manifest, saved last.

    Raises MixError, CorruptShardError; what was written until then stays behind for the caller to remove.
    """
    inputs = mixed_inputs(config, parts)
    (folder / "docs").mkdir(parents=True)
    tokenizer = _copy_tokenizer(parts[0].source, folder)
    writer = _Writer(folder, parts, scores=inputs.scores is not None)
    pieces = shuffled(parts, config.seed).pieces(config.shard_tokens)
    shards = [writer.write(at, piece) for at, piece in enumerate(pieces)]
    for part in parts:
        if part.source.name == CLEAN:
            shards += _linked(part.source, folder, scores=inputs.scores is not None)
    manifest = Manifest(
        tokenizer=tokenizer,
        shards=tuple(shards),
        inputs=inputs,
        documents=sum(shard.documents for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        loss_tokens=sum(shard.loss_tokens for shard in shards),
    )
    manifest.save(folder)
    return manifest


class _Writer:
    """Writes one run of documents after the other, each as one shard."""

    def __init__(self, folder: Path, parts: tuple[Part, ...], *, scores: bool) -> None:
        self._folder = folder
        self._parts = parts
        self._scores = scores
        info = parts[0].source.manifest.tokenizer
        self._dtype = token_dtype(max(info.vocab_size, info.hidden_id + 1))
        self._gatherer = Gatherer(parts, self._dtype, scores=scores)
        self._docs = tuple(part.source.docs() for part in parts)

    def write(self, at: int, order: Order) -> ShardInfo:
        """Writes the shard number `at`; its name holds a hash of its content."""
        staged = self._folder / f"{PREFIX}{at:05d}"
        with ShardWriter(staged, self._dtype, scores=self._scores) as writer:
            for piece in order.pieces(BATCH_TOKENS):
                tokens = self._gatherer.read(piece)
                writer.add(tokens.ids_T, tokens.loss_mask_T, piece.lengths_K, tokens.scores_T)
            stats = writer.close()
        content = hashlib.sha256("".join(stats.sha256[suffix] for suffix in sorted(stats.sha256)).encode()).hexdigest()
        name = f"{staged.name}-{content[:12]}"
        for suffix in stats.sha256:
            os.rename(shard_file(staged, suffix), shard_file(self._folder / name, suffix))
        docs = self._folder / "docs" / f"{name}.parquet"
        pq.write_table(self._index(name, order), docs, compression="zstd")
        return ShardInfo(
            prefix=name,
            docs=f"docs/{name}.parquet",
            documents=stats.documents,
            tokens=stats.tokens,
            loss_tokens=stats.loss_tokens,
            score_counts=stats.score_counts,
            sha256={**stats.sha256, "docs": file_sha256(docs)},
        )

    def _index(self, name: str, order: Order) -> pa.Table:
        """The document index of one shard."""
        rows, places = [], []
        for at, (part, docs) in enumerate(zip(self._parts, self._docs)):
            mine_M = np.flatnonzero(order.part_K == at)
            places.append(mine_M)
            rows.append(_own_columns(part, docs, order.document_K[mine_M]))
        table = pa.concat_tables(rows, promote_options="default").take(np.argsort(np.concatenate(places)))
        count = table.num_rows
        columns = {name: table[name] for name in table.column_names} | {
            "shard": pa.repeat(pa.scalar(name), count),
            "index": pa.array(np.arange(count)),
            "pass": pa.array(order.pass_K),
        }
        return pa.table({key: columns[key] for key in (*OWN_COLUMNS, *sorted(set(columns) - set(OWN_COLUMNS)))})


def _own_columns(part: Part, docs: pa.Table, document_M: np.ndarray) -> pa.Table:
    """The source's index of these documents, with the source's name and the prefix's length."""
    table = docs.take(document_M)
    before_M = part.prefixes.lengths_D[document_M] if part.prefixes else np.zeros(len(document_M), np.int64)
    columns = {name: table[name] for name in table.column_names} | {
        "source": pa.repeat(pa.scalar(part.source.name), len(document_M)),
        "prefix_tokens": pa.array(before_M.astype(np.int32)),
    }
    return pa.table({key: value for key, value in columns.items() if key not in ("shard", "index", "pass")})


def _copy_tokenizer(source: Source, folder: Path) -> TokenizerInfo:
    info = source.manifest.tokenizer
    file = inside(source.folder, info.file)
    if not file.is_file() or file_sha256(file) != info.sha256:
        raise MixError(f"{source}: {file} is missing or not what the manifest names; export the source again")
    shutil.copyfile(file, folder / Path(info.file).name)
    return info.model_copy(update={"file": Path(info.file).name})


def _linked(source: Source, folder: Path, *, scores: bool) -> list[ShardInfo]:
    """The source's valid and test shards, put into `folder` as they are."""
    shards = [shard for split in ("valid", "test") for shard in source.manifest.shards_of(split)]
    for shard in shards:
        suffixes = (*SUFFIXES, *SCORE_SUFFIXES) if scores else SUFFIXES
        for file in (*(shard_file(Path(shard.prefix), suffix).as_posix() for suffix in suffixes), shard.docs):
            _link(inside(source.folder, file), folder / file)
    return shards if scores else [_without_scores(shard) for shard in shards]


def _without_scores(shard: ShardInfo) -> ShardInfo:
    hashes = {key: value for key, value in shard.sha256.items() if key not in SCORE_SUFFIXES}
    return shard.model_copy(update={"score_counts": None, "sha256": hashes})


def _link(file: Path, to: Path) -> None:
    if not file.is_file():
        raise MixError(f"{file}: missing, though its manifest names it; export the source again")
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, to)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, to)
