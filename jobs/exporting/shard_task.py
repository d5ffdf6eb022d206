"""What a task of the export does: it writes whole shards into a folder of its attempt's own and reports each one."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.shards.shard import ShardWriter, shard_file, token_dtype
from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.udfs.deciding.pretrain_tokens import PretrainTokens, ScoreCompanion, pretrain_tokens
from tokensieve.udfs.tokenizing.tokenizer import BackendName, ByteTokenizer

SAMPLE_BYTES = 128 * 2**10  # of every shard's text, on which the fast tokenizer is held against the reference
DOC_SCORE = "doc_score_"  # a column of the document index begins so, with the policy's name
_PLACE = [pa.field("shard", pa.string()), pa.field("index", pa.int64())]
_DOCUMENT = [
    pa.field("doc_id", pa.string()),
    pa.field("source_file", pa.string()),
    pa.field("source_row", pa.int64()),
]
_FORGET_SHARE = pa.field("forget_share", pa.float32())


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """What a task needs to write its shards. `stems`: the beginning of each shard's name; `companion`: whose scores go
    along; `doc_scores`: policies whose document score is in the rows."""

    staging: str
    stems: tuple[str, ...]
    tokenizer: str
    backend: BackendName
    info: TokenizerInfo
    hiding: frozenset[str]
    companion: ScoreCompanion | None = None
    doc_scores: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What became of one shard: its files at `prefix` and what they hold, or how its sample `differs`."""

    at: int
    prefix: str
    name: str = ""
    documents: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    forget_bytes: int = 0
    sha256: dict[str, str] | None = None
    score_counts: tuple[int, ...] | None = None
    differs: str | None = None


def write_shards(task: ShardTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In an executor: writes each shard of the partition, rows sorted by shard, and reports it in one row of JSON.

    A shard on whose sample the back end and the reference make other tokens is given up, and the rest not begun.
    """
    tokenizer = worker_tokenizer(task.tokenizer, task.backend)
    shard: _OpenShard | None = None
    reports: list[ShardReport] = []
    for part in (part for batch in batches for part in _by_shard(batch)):
        at = part.column("shard")[0].as_py()
        if shard is None or shard.at != at:
            reports += [shard.close()] if shard else []
            shard = _OpenShard(task, at)
        found = shard.add(part, tokenizer)
        if found is not None:
            reports.append(ShardReport(at=at, prefix="", differs=found))
            shard = None
            break
    reports += [shard.close()] if shard else []
    yield pa.RecordBatch.from_pydict({"report": pa.array([json.dumps(asdict(one)) for one in reports], pa.string())})


@lru_cache(maxsize=2)
def worker_tokenizer(path: str, backend: BackendName) -> ByteTokenizer:
    """The tokenizer, read once in a worker."""
    return ByteTokenizer.load(path, backend)


def _by_shard(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of one shard each; rows come sorted by shard."""
    shard_D = batch.column("shard").to_numpy()
    cuts = [0, *(np.flatnonzero(np.diff(shard_D)) + 1).tolist(), len(shard_D)]
    for start, end in pairwise(cuts):
        if end > start:
            yield batch.slice(start, end - start)


class _OpenShard:
    """A shard while one attempt of a task writes it, in a folder of that attempt's own."""

    def __init__(self, task: ShardTask, at: int) -> None:
        self.at = at
        self._task = task
        self._prefix = Path(task.staging) / uuid.uuid4().hex / task.stems[at]
        dtype = token_dtype(max(task.info.vocab_size, task.info.hidden_id + 1))
        self._writer = ShardWriter(self._prefix, dtype, scores=task.companion is not None)
        self._docs: list[pa.RecordBatch] = []
        self._sampled = 0
        self._forget_bytes = 0

    def add(self, batch: pa.RecordBatch, tokenizer: ByteTokenizer) -> str | None:
        """Writes the documents; says how the tokenizer differs from the reference on the shard's first ones."""
        found = self._difference(batch, tokenizer)
        if found is not None:
            return found
        task, info = self._task, self._task.info
        tokens = pretrain_tokens(tokenizer, batch, task.hiding, info.eod, info.hidden_id, task.companion)
        self._writer.add(tokens.ids_T, tokens.loss_mask_T, tokens.lengths_D, tokens.scores_T)
        self._docs.append(_document_rows(batch, tokens, task.doc_scores))
        self._forget_bytes += int(tokens.forget_bytes_D.sum())
        return None

    def close(self) -> ShardReport:
        """Finishes the files. The shard's name holds a hash of its content, the rows of its index included: no shard is
        written over with another that an older manifest names."""
        stats = self._writer.close()
        docs = pa.Table.from_batches(self._docs).combine_chunks()
        content = hashlib.sha256("".join(stats.sha256.values()).encode())
        content.update(_stream(docs))
        name = f"{self._prefix.name}-{content.hexdigest()[:12]}"
        docs = docs.add_column(0, _PLACE[1], pa.array(range(docs.num_rows), pa.int64()))
        docs = docs.add_column(0, _PLACE[0], pa.repeat(pa.scalar(name), docs.num_rows))
        file = shard_file(self._prefix, ".docs.parquet")
        pq.write_table(docs, file, compression="zstd")
        counts = {**asdict(stats), "sha256": stats.sha256 | {"docs": file_sha256(file)}}
        return ShardReport(at=self.at, prefix=str(self._prefix), name=name, forget_bytes=self._forget_bytes, **counts)

    def _difference(self, batch: pa.RecordBatch, tokenizer: ByteTokenizer) -> str | None:
        """Compares the next documents with the reference until SAMPLE_BYTES of the shard were compared."""
        if self._sampled >= SAMPLE_BYTES:
            return None
        text = batch.column("text")
        ends_D = np.cumsum(pc.call_function("binary_length", [text]).to_numpy())
        count = int(np.searchsorted(ends_D, SAMPLE_BYTES - self._sampled)) + 1
        self._sampled += int(ends_D[min(count, len(ends_D)) - 1])
        return tokenizer.difference(text.slice(0, count))


def _document_rows(batch: pa.RecordBatch, tokens: PretrainTokens, doc_scores: tuple[str, ...]) -> pa.RecordBatch:
    """The documents' rows of the index, without their place."""
    share_D = tokens.forget_bytes_D / np.maximum(tokens.text_bytes_D, 1)
    scores = {DOC_SCORE + policy: batch.column(DOC_SCORE + policy) for policy in doc_scores}
    fields = [*_DOCUMENT, _FORGET_SHARE, *(pa.field(name, pa.float32()) for name in scores)]
    known = [batch.column(field.name).cast(field.type) for field in _DOCUMENT]
    columns = [*known, pa.array(share_D.astype(np.float32)), *(column.cast(pa.float32()) for column in scores.values())]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
