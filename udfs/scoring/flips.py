"""How many token decisions differ between two back ends' stored scores of the same documents."""

import numpy as np
import pyarrow as pa

from udfs.scores import decision_level, flat_bytes


def decision_flips(expected: pa.RecordBatch, found: pa.RecordBatch, policy: str, threshold: float) -> tuple[int, int]:
    """(Tokens whose decision at the threshold differs, tokens compared).

    Both are scored rows of the same rows of one source, as the scoring stage gives them out, or of the first ones of
    them; rows that only one side could score are left out. `threshold` is a probability.
    """
    rows_E, rows_F = (rows.column("source_row").to_numpy() for rows in (expected, found))
    _, at_E, at_F = np.intersect1d(rows_E, rows_F, return_indices=True)
    level = decision_level(threshold)
    scores = (_scores(expected, policy, at_E), _scores(found, policy, at_F))
    return int(((scores[0] >= level) != (scores[1] >= level)).sum()), len(scores[0])


def _scores(rows: pa.RecordBatch, policy: str, at_N: np.ndarray) -> np.ndarray:
    """uint8 [T]: the stored scores of those rows, one document after the other."""
    column = rows.column(policy).field("token_scores").take(pa.array(at_N))
    return flat_bytes(column)[0]
