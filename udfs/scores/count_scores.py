"""Histograms of stored scores inside an executor: one row per policy and partition, so that a driver adds few numbers.

Token scores are already values of the logit grid; document scores are probabilities and are put on the same grid, so
that both are drawn on one axis.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tokensieve.udfs.scores.stored_scores import flat_bytes, quantize_logits

BINS = 256
HISTOGRAM_SCHEMA = "policy string, tokens binary, documents binary, unscored bigint"


def count_scores(policies: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts the scores of one partition.

    Args: the policies' names; batches with one struct column per policy.
    Yields one batch of HISTOGRAM_SCHEMA: `tokens` and `documents` are int64 [256] per grid value, little endian;
    `unscored` counts documents without a score (they have no token).
    """
    tokens_PB = np.zeros((len(policies), BINS), dtype="<i8")
    documents_PB = np.zeros((len(policies), BINS), dtype="<i8")
    unscored_P = np.zeros(len(policies), dtype=np.int64)
    for batch in batches:
        for at, policy in enumerate(policies):
            column = batch.column(policy)
            assert isinstance(column, pa.StructArray)
            fields = dict(zip((field.name for field in column.type), column.flatten()))
            tokens_PB[at] += np.bincount(flat_bytes(fields["token_scores"])[0], minlength=BINS)
            score_D = fields["doc_score"].to_numpy(zero_copy_only=False)
            documents_PB[at] += np.bincount(on_grid(score_D), minlength=BINS)
            unscored_P[at] += np.count_nonzero(np.isnan(score_D))
    yield pa.RecordBatch.from_pydict(
        {
            "policy": pa.array(policies, pa.string()),
            "tokens": pa.array([row.tobytes() for row in tokens_PB], pa.binary()),
            "documents": pa.array([row.tobytes() for row in documents_PB], pa.binary()),
            "unscored": pa.array(unscored_P, pa.int64()),
        }
    )


def on_grid(probability_D: np.ndarray) -> np.ndarray:
    """Grid values, uint8, of probabilities, float [D]; NaN values are left out."""
    known = probability_D[~np.isnan(probability_D)].astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(known) - np.log1p(-known)
    return quantize_logits(np.clip(logits, -100, 100))
