"""Our way in one process and without threads: texts to tokens, packs, scores on the grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokensieve.udfs.scoring.batch_group import Request, Scored
from tokensieve.udfs.scoring.meter import Meter, Reading
from tokensieve.udfs.scoring.scorer import Scorer

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan of D documents gave."""

    reading: Reading
    lengths_D: np.ndarray
    scores_T: np.ndarray
    probe_D: np.ndarray

    @property
    def tokens(self) -> int:
        return int(self.lengths_D.sum())


def scan(scorer: Scorer, texts: Sequence[str], policy: str) -> Scan:
    """Scores documents as a task does, its stages one after the other."""
    meter, found = Meter(), []
    requests = (
        Request(batch=None, tokens=scorer.tokenized(pa.array(texts[at : at + BATCH])))
        for at in range(0, len(texts), BATCH)
    )
    for _, scored in scorer.scored(requests, meter):
        found.append(scored[policy])
    return Scan(
        reading=meter.reading(),
        lengths_D=np.concatenate([_lengths(one) for one in found]),
        scores_T=np.concatenate([one.scores_T for one in found]),
        probe_D=np.concatenate([one.probe_D for one in found]),
    )


def _lengths(scored: Scored) -> np.ndarray:
    return np.diff(scored.tokens.bounds_D1)
