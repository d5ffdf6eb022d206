"""The statistics pass inside an executor: documents in, one row of sums a task and its best contexts out.

Both kinds of row leave in one stream of one schema, so that one pass of the model feeds both tables: a row of sums has
`part`, a context has `latent_id`. Sums travel as binary columns, one row a task, whatever the number of latents.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import xxhash

from tokensieve.udfs.labels.labels import DOCUMENT_SCHEMA
from tokensieve.udfs.sae.contexts import CANDIDATE_SCHEMA, ContextSettings, best, find_contexts
from tokensieve.udfs.sae.latents import LatentSettings, worker_latents
from tokensieve.udfs.sae.statistics import Statistics

GROUP_BYTES = 1 << 18  # of text per call of the model's batcher: bounds the firings that are held at once
_SUMS = (("sum_K", "<f8"), ("square_sum_K", "<f8"), ("nonzero_K", "<i8"), ("max_K", "<f4"))
PART_SCHEMA = pa.schema(
    [
        pa.field("part", pa.string()),
        pa.field("documents", pa.int64()),
        pa.field("noted", pa.int64()),
        pa.field("tokens", pa.int64()),
        *(pa.field(name, pa.binary()) for name, _ in _SUMS),
    ]
)
PASS_SCHEMA = pa.schema([*PART_SCHEMA, *CANDIDATE_SCHEMA])


def collect(
    settings: LatentSettings, contexts: ContextSettings, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Of batches of DOCUMENT_SCHEMA, the whole of one task, to PASS_SCHEMA.

    A document that came with a note, or that the model cannot read, is counted in `noted` and in nothing else.
    """
    task = _Task(settings, contexts)
    for batch in batches:
        task.add(batch)
    if task.documents:
        yield from task.rows()


def merge_parts(latents: tuple[int, ...], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows of sums, sorted by `part`, to one row a latent (STATISTICS_SCHEMA). Float sums depend on the order."""
    latent_id_K = np.array(latents, dtype=np.int32)
    merged = Statistics.empty(latent_id_K)
    for batch in batches:
        for row in batch.select(PART_SCHEMA.names).to_pylist():
            if row["sum_K"] is None:  # a task without one readable document
                continue
            sums = {name: np.frombuffer(row[name], dtype) for name, dtype in _SUMS}
            merged = merged.merge(Statistics(latent_id_K=latent_id_K, count=row["tokens"], **sums))
    yield merged.to_arrow()


class _Task:
    """What one task has seen so far."""

    def __init__(self, settings: LatentSettings, contexts: ContextSettings) -> None:
        self._settings, self._contexts = settings, contexts
        self._name = xxhash.xxh3_128()
        self._sums: Statistics | None = None
        self._best = CANDIDATE_SCHEMA.empty_table()
        self.documents = self.noted = 0

    def add(self, batch: pa.RecordBatch) -> None:
        ids, texts, hashes, notes = (batch.column(name).to_pylist() for name in DOCUMENT_SCHEMA.names)
        name = "".join(f"{doc_id}\0{text_hash}\0" for doc_id, text_hash in zip(ids, hashes, strict=True))
        self._name.update(name.encode())
        good = [at for at, note in enumerate(notes) if note is None]
        self.documents += len(ids)
        self.noted += len(ids) - len(good)
        for group in text_groups([len(texts[at]) for at in good]):
            self._read([ids[good[at]] for at in group], [texts[good[at]] for at in group])

    def _read(self, ids: list[str], texts: list[str]) -> None:
        latents = worker_latents(self._settings)
        found, latent_id_K = latents(texts), latents.slice.latent_id_K
        lengths_D = np.diff(found.tokens.bounds_D1)
        lengths_D[list(found.failed)] = 0
        self.noted += len(found.failed)
        sums = Statistics.of(latent_id_K, int(lengths_D.sum()), found.column_N, found.value_N)
        self._sums = sums if self._sums is None else self._sums.merge(sums)
        contexts = find_contexts(found, latent_id_K, ids, texts, self._contexts)
        self._best = best(pa.concat_tables([self._best, contexts]), self._contexts.limit)

    def rows(self) -> Iterator[pa.RecordBatch]:
        part = {"part": self._name.hexdigest(), "documents": self.documents, "noted": self.noted, "tokens": 0}
        if self._sums is not None:
            part["tokens"] = self._sums.count
            part |= {name: getattr(self._sums, name).astype(dtype).tobytes() for name, dtype in _SUMS}
        yield pa.RecordBatch.from_pylist([part], schema=PASS_SCHEMA)
        for batch in self._best.to_batches(max_chunksize=1024):
            nulls = [pa.nulls(batch.num_rows, field.type) for field in PART_SCHEMA]
            yield pa.RecordBatch.from_arrays([*nulls, *batch.columns], schema=PASS_SCHEMA)


def text_groups(sizes: list[int], budget: int = GROUP_BYTES) -> Iterator[list[int]]:
    """Indices of neighbouring texts whose sizes stay within the budget in sum; a larger text stands alone."""
    group: list[int] = []
    used = 0
    for at, size in enumerate(sizes):
        if group and used + size > budget:
            yield group
            group, used = [], 0
        group.append(at)
        used += size
    if group:
        yield group
