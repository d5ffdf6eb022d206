"""Counts words by document label inside an executor: partial counts that Spark sums up (udfs/labels/lexicon.py).

A partition's counts are given out when they pass a million different words, so memory is bounded whatever its size.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa

from tokensieve.udfs.labels.labels import LabelError
from tokensieve.udfs.labels.lexicon import find_words

COUNT_SCHEMA = pa.schema(
    [pa.field("word", pa.string()), pa.field("other", pa.int64()), pa.field("positive", pa.int64())]
)
_MOST_WORDS = 1_000_000


def count_words(label_set: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Partial counts, COUNT_SCHEMA, of batches with doc_id, text, text_hash, label (0..1) and label_hash.

    Raises LabelError for a document whose label is about another text.
    """
    counts: tuple[Counter[bytes], Counter[bytes]] = (Counter(), Counter())
    for batch in batches:
        for row in batch.to_pylist():
            if row["text_hash"] != row["label_hash"]:
                raise LabelError(
                    f"label set {label_set}, document {row['doc_id']}: its label is about another text (text_hash "
                    f"{row['label_hash']}, the text has {row['text_hash']}); label the source again"
                )
            counts[row["label"] >= 0.5].update(find_words(row["text"]))
        if len(counts[0]) + len(counts[1]) > _MOST_WORDS:
            yield _as_rows(counts)
            counts = (Counter(), Counter())
    yield _as_rows(counts)


def _as_rows(counts: tuple[Counter[bytes], Counter[bytes]]) -> pa.RecordBatch:
    words = sorted(counts[0].keys() | counts[1].keys())
    return pa.RecordBatch.from_arrays(
        [
            pa.array([word.decode("ascii") for word in words], pa.string()),
            *(pa.array([count[word] for word in words], pa.int64()) for count in counts),
        ],
        schema=COUNT_SCHEMA,
    )
