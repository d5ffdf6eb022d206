"""What every scoring task is told, and the schema of the rows that it gives back."""

from dataclasses import dataclass

import pyarrow as pa

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig
from tokensieve.udfs.reading.parts import PROVENANCE
from tokensieve.udfs.scoring.cascade import Sampling
from tokensieve.udfs.scoring.scorer import ScorerSettings

EMPTY = 1  # flag: the document has no token
WINDOWED = 2  # flag: the document was longer than one window of the classifier
SKIPPED = 4  # flag: a cascade read only stretches of it; its other scores are 0
SAMPLED = 8  # flag: scanned whatever its probe said, to measure what the cascade keeps

POLICY_TYPE = pa.struct(
    [
        pa.field("bundle_id", pa.string()),
        pa.field("token_bytes", pa.binary()),
        pa.field("token_scores", pa.binary()),
        pa.field("doc_score", pa.float32()),
        pa.field("flags", pa.int32()),
        pa.field("probe", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ScorePlan:
    """What every task does with its rows: which columns there are, which classifiers score them."""

    schema: pa.Schema  # the source's columns
    text: str
    id: str | None
    scorer: ScorerSettings
    storage: StorageConfig = PROVIDERS_OWN  # how the source's files are reached
    progress: str | None = None  # the folder of the tasks' heartbeats
    task: int = 0  # the partition's number, by which a heartbeat is named
    sampling: Sampling | None = None  # documents that a cascade scans whatever their probe says

    def output_schema(self) -> pa.Schema:
        """doc_id, the source's columns, provenance, text_hash, one struct per policy, reason and detail."""
        policies = [pa.field(policy, POLICY_TYPE) for policy, _, _ in self.scorer.bundles]
        return pa.schema(
            [
                pa.field("doc_id", pa.string()),
                *self.schema,
                *PROVENANCE,
                pa.field("text_hash", pa.string()),
                *policies,
                pa.field("reason", pa.string()),
                pa.field("detail", pa.string()),
            ]
        )
