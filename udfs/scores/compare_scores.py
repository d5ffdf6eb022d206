"""Two scores of the same documents, counted inside an executor: one row per policy and partition, nothing per document.

Histograms are on the logit grid, like all others of scores; the mean difference is of probabilities, in which people
set thresholds; sums for a correlation are of grid values, where the tails count.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tokensieve.udfs.scores.count_scores import BINS, on_grid

BEFORE, AFTER = "before_", "after_"
PAIR_SCHEMA = (
    "policy string, before binary, after binary, change double, "
    "before_sum bigint, after_sum bigint, before_squares bigint, after_squares bigint, products bigint"
)


def compare_scores(policies: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts one partition.

    Args: the policies' names; batches with columns `before_<policy>` and `after_<policy>`, probabilities or null.
    Yields one batch of PAIR_SCHEMA. A document without one of the two scores is left out. `before` and `after` are
    int64 [256], little endian; `change` is the sum of after minus before; the others are sums over grid values.
    """
    counts_PSB = np.zeros((len(policies), 2, BINS), dtype="<i8")
    change_P = np.zeros(len(policies))
    sums_P5 = np.zeros((len(policies), 5), dtype=np.int64)
    for batch in batches:
        for at, policy in enumerate(policies):
            old_D, new_D = (batch.column(side + policy).to_numpy(zero_copy_only=False) for side in (BEFORE, AFTER))
            both_D = ~(np.isnan(old_D) | np.isnan(new_D))
            change_P[at] += np.sum(new_D[both_D].astype(np.float64) - old_D[both_D])
            x_D, y_D = on_grid(old_D[both_D]).astype(np.int64), on_grid(new_D[both_D]).astype(np.int64)
            counts_PSB[at] += [np.bincount(grid_D, minlength=BINS) for grid_D in (x_D, y_D)]
            sums_P5[at] += [x_D.sum(), y_D.sum(), x_D @ x_D, y_D @ y_D, x_D @ y_D]
    yield pa.RecordBatch.from_arrays(
        [
            pa.array(policies, pa.string()),
            *(pa.array([row.tobytes() for row in counts_PSB[:, side]], pa.binary()) for side in (0, 1)),
            pa.array(change_P, pa.float64()),
            *(pa.array(sums_P, pa.int64()) for sums_P in sums_P5.T),
        ],
        names=[column.split()[0] for column in PAIR_SCHEMA.split(", ")],
    )
