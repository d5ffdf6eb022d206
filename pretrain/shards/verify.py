"""Reads every file that a manifest names and lists what is wrong, shard by shard.

Costs one full read of the corpus (SHA-256 of every byte), so it is a command of its own (`tokensieve verify`); training
checks headers and sizes only.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.shards.manifest import Manifest, inside
from tokensieve.pretrain.shards.megatron_index import CorruptShardError
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo

ProblemKind = Literal[
    "missing file",
    "sha256 differs",
    "corrupt",
    "counts differ",
    "id out of vocabulary",
    "no eod at document end",
    "document in two splits",
]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong. `where` is the shard's prefix, or the tokenizer's file name."""

    where: str
    kind: ProblemKind
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.detail}"


def verify_shards(manifest: Manifest, folder: Path) -> list[Problem]:
    """Every problem of every shard and of the tokenizer file, in the manifest's order; empty = well.

    Raises ManifestError when a path leaves the folder.
    """
    tokenizer = manifest.tokenizer
    problems = list(_hash_problem(tokenizer.file, inside(folder, tokenizer.file), tokenizer.sha256))
    problems += _group_problems(manifest, folder)
    for shard in manifest.shards:
        problems += _shard_problems(shard, tokenizer, folder)
    problems += _split_problems(manifest, folder)
    return problems


def _group_problems(manifest: Manifest, folder: Path) -> Iterator[Problem]:
    """Where the groups of source files do not add up to the shards that are of them."""
    file = manifest.groups
    if file is None:
        return
    try:
        groups = file.load(folder)
    except ManifestError as error:
        yield Problem(where=file.file, kind="corrupt", detail=str(error))
        return
    counts = Counter({group.name: group.documents for group in groups.groups})
    for shard in manifest.shards:
        counts[shard.group or ""] -= shard.documents
    for group, missing in counts.items():
        if missing:
            detail = f"group {group} has {missing} documents more than its shards"
            yield Problem(where=file.file, kind="counts differ", detail=detail)


def _shard_problems(shard: ShardInfo, tokenizer: TokenizerInfo, folder: Path) -> Iterator[Problem]:
    prefix = folder / shard.prefix
    for name, sha256 in shard.files().items():
        yield from _hash_problem(shard.prefix, inside(folder, name), sha256)
    try:
        reader = ShardReader(prefix)
        scores_T = None if shard.score_counts is None else reader.scores_T
    except CorruptShardError as error:
        yield Problem(where=shard.prefix, kind="corrupt", detail=str(error))
        return
    yield from _count_problems(shard, reader)
    if scores_T is not None:
        yield from _score_problems(shard, scores_T)
    yield from _token_problems(shard, reader, tokenizer)


def _hash_problem(where: str, path: Path, expected: str | None) -> Iterator[Problem]:
    if not path.is_file():
        yield Problem(where=where, kind="missing file", detail=str(path))
    elif expected is not None and (found := file_sha256(path)) != expected:
        yield Problem(where=where, kind="sha256 differs", detail=f"{path} is {found}, the manifest says {expected}")


def _count_problems(shard: ShardInfo, reader: ShardReader) -> Iterator[Problem]:
    found = {
        "documents": reader.documents,
        "tokens": reader.tokens,
        "loss_tokens": int(np.count_nonzero(reader.loss_mask_T)),
    }
    for name, count in found.items():
        if count != getattr(shard, name):
            detail = f"{count} {name} on disk, {getattr(shard, name)} in the manifest"
            yield Problem(where=shard.prefix, kind="counts differ", detail=detail)


def _score_problems(shard: ShardInfo, scores_T: np.ndarray) -> Iterator[Problem]:
    found, expected = np.bincount(scores_T, minlength=256), np.array(shard.score_counts)
    if not np.array_equal(found, expected):
        level = int(np.argmax(found != expected))
        detail = f"{found[level]} tokens of score {level} on disk, {expected[level]} in the manifest"
        yield Problem(where=shard.prefix, kind="counts differ", detail=detail)


def _split_problems(manifest: Manifest, folder: Path) -> Iterator[Problem]:
    """Documents of a training shard that are held out too, by the document indices that the manifest vouches for."""
    indexed = [shard for shard in manifest.shards if "docs" in shard.sha256]
    held_out = [_doc_ids(shard, folder) for shard in indexed if shard.split != "train"]
    if not held_out:
        return
    held_out_ids = pa.concat_arrays([ids for ids in held_out if ids is not None] or [pa.array([], pa.string())])
    for shard in indexed:
        ids = _doc_ids(shard, folder)
        if ids is None:
            yield Problem(
                where=shard.prefix, kind="corrupt", detail=f"{shard.docs} cannot be read as an index of doc_id"
            )
            continue
        if len(ids) != shard.documents:
            detail = f"{len(ids)} rows in {shard.docs}, {shard.documents} documents in the manifest"
            yield Problem(where=shard.prefix, kind="counts differ", detail=detail)
        if shard.split == "train":
            leaked = ids.filter(pc.call_function("is_in", [ids], pc.SetLookupOptions(held_out_ids)))
            if len(leaked):
                detail = f"{len(leaked)} documents are in valid or test too, the first is {leaked[0]}"
                yield Problem(where=shard.prefix, kind="document in two splits", detail=detail)


def _doc_ids(shard: ShardInfo, folder: Path) -> pa.Array | None:
    """The ids of a shard's documents; None where its index cannot be read."""
    path = inside(folder, shard.docs)
    try:
        return pq.read_table(path, columns=["doc_id"]).column("doc_id").cast(pa.string()).combine_chunks()
    except (OSError, pa.ArrowException, KeyError):
        return None


def _token_problems(shard: ShardInfo, reader: ShardReader, tokenizer: TokenizerInfo) -> Iterator[Problem]:
    low, high = int(reader.ids_T.min(initial=0)), int(reader.ids_T.max(initial=0))
    if low < 0 or high >= tokenizer.padded_vocab_size:
        detail = f"ids span {low}..{high}, the padded vocabulary is {tokenizer.padded_vocab_size}"
        yield Problem(where=shard.prefix, kind="id out of vocabulary", detail=detail)
    last_D = np.asarray(reader.ids_T[np.cumsum(reader.lengths_D, dtype=np.int64) - 1])
    open_D = last_D != tokenizer.eod
    if open_D.any():
        detail = f"{int(open_D.sum())} documents, the first is {int(np.argmax(open_D))}; eod is {tokenizer.eod}"
        yield Problem(where=shard.prefix, kind="no eod at document end", detail=detail)
