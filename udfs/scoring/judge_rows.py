"""What a cascade kept and saved, inside an executor: per fully scanned document its probe, forget tokens and cost."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from tokensieve.udfs.scores.stored_scores import decode_lengths, flat_bytes
from tokensieve.udfs.scoring.cascade import Cascade, stretches

JUDGED_SCHEMA = "policy string, probe float, forget bigint, tokens bigint, probed bigint"


def judge_rows(
    levels: Sequence[tuple[str, int]], cascade: Cascade, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Rows of JUDGED_SCHEMA, one per document and policy.

    Args: (policy, grid value from which on a token counts as forget); batches with one struct column per policy.
    `probe` is null where the document had none, `probed` counts the tokens of its stretches.
    """
    for batch in batches:
        for policy, level in levels:
            column = batch.column(policy)
            assert isinstance(column, pa.StructArray)
            fields = dict(zip((field.name for field in column.type), column.flatten()))
            scores_T, _ = flat_bytes(fields["token_scores"])
            _, bounds_D1 = decode_lengths(fields["token_bytes"])
            forget_T1 = np.concatenate([[0], np.cumsum(scores_T >= level, dtype=np.int64)])
            cut = stretches(np.diff(bounds_D1), cascade)
            probed_D = np.bincount(cut.doc_W, cut.lengths_W, len(bounds_D1) - 1).astype(np.int64)
            yield pa.RecordBatch.from_pydict(
                {
                    "policy": pa.repeat(pa.scalar(policy), batch.num_rows),
                    "probe": fields["probe"],
                    "forget": pa.array(forget_T1[bounds_D1[1:]] - forget_T1[bounds_D1[:-1]], pa.int64()),
                    "tokens": pa.array(np.diff(bounds_D1), pa.int64()),
                    "probed": pa.array(probed_D, pa.int64()),
                }
            )
