"""Compares two label sets inside an executor: documents with both labels in, counts per document out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tokensieve.udfs.labels.agreement import COUNTS, compare_bytes, compare_tokens
from tokensieve.udfs.labels.labels import LABEL_SCHEMA, DocumentLabels, decode_columns
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

COMPARED_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("group", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("state", pa.string()),  # compared, other_text: a label is about another text, untokenized
        *(pa.field(name, pa.int64()) for name in COUNTS),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a task needs: the tokenizer's file, which every node must see; None compares bytes only."""

    tokenizer: str | None

    def compare(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of doc_id, text, text_hash, group and, per set, LABEL_SCHEMA's columns after `a_` and `b_`.

        Yields COMPARED_SCHEMA, one row a document and unit. Raises LabelError for a span outside its text.
        """
        for batch in batches:
            hashes = [batch.column(name).to_pylist() for name in ("text_hash", "a_text_hash", "b_text_hash")]
            same_D = np.array([text == a == b for text, a, b in zip(*hashes)], dtype=bool)
            other = batch.filter(pa.array(~same_D))
            yield _rows(other, "bytes", ["other_text"] * other.num_rows, np.zeros((other.num_rows, len(COUNTS))))
            yield from self._compare_batch(batch.filter(pa.array(same_D)))

    def _compare_batch(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        a, b = _labels(batch, "a_"), _labels(batch, "b_")
        texts = batch.column("text").to_pylist()
        bytes_D5 = compare_bytes(a, b, [len(text.encode()) for text in texts])
        yield _rows(batch, "bytes", ["compared"] * len(texts), bytes_D5)
        if self.tokenizer is not None:
            tokens = _tokenizer(self.tokenizer).encode(texts)
            states = ["untokenized" if d in tokens.failed else "compared" for d in range(len(texts))]
            yield _rows(batch, "tokens", states, compare_tokens(a, b, tokens))


@lru_cache(maxsize=1)
def _tokenizer(path: str) -> ByteTokenizer:
    return ByteTokenizer.load(path)


def _labels(batch: pa.RecordBatch, prefix: str) -> list[DocumentLabels]:
    return decode_columns(*(batch.column(prefix + name) for name in LABEL_SCHEMA.names[2:]))


def _rows(batch: pa.RecordBatch, unit: str, states: list[str], counts_D5: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            batch.column("doc_id"),
            batch.column("group"),
            pa.array([unit] * len(states), pa.string()),
            pa.array(states, pa.string()),
            *(pa.array(column.astype(np.int64)) for column in counts_D5.T),
        ],
        schema=COMPARED_SCHEMA,
    )
