"""What a report says, as plain values: gathered by one half of the verb, drawn by the other, so each is testable alone.

All texts in here come from a corpus or a configuration and are hostile until the page has escaped them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokensieve.jobs.policies.definition import PolicyDefinition
from tokensieve.jobs.policies.rules import RuleEntry

Loss = Literal["loss", "none", "some"]


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """A table's last commit; `written` is its time in UTC, to the second."""

    name: str
    batch: str
    written: str


@dataclass(frozen=True, kw_only=True)
class ScoreCounts:
    """One policy's histograms on the logit grid (`udfs.scores.stored_scores`): int64 [256] each."""

    tokens_B: np.ndarray
    documents_B: np.ndarray
    unscored: int  # documents without a token, so without a score


@dataclass(frozen=True, kw_only=True)
class PolicyFacts:
    """One policy as it was applied."""

    name: str
    definition: PolicyDefinition
    bundle: str  # the bundle's name
    rule: RuleEntry
    scores: ScoreCounts


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """One source file, or (`file` None) all of them. Tokens are pretraining tokens, None before an export."""

    file: str | None
    documents: int
    dropped: int
    touched: int  # documents with a forget span, dropped ones counted
    text_bytes: int
    forget_bytes: int
    tokens: int | None = None
    loss_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of text that is drawn in one way. `tokens` is 0 where it was not cut into tokens."""

    text: str
    loss: Loss
    tokens: int
    title: str
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class SampleDocument:
    """A document to look at. `shown` says which part of it the runs are, None for all of it."""

    doc_id: str
    action: str
    source: str
    facts: str
    runs: tuple[Run, ...]
    shown: str | None


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """What the manifest says of the shards. `stale`: they were made from another masked table than stands there."""

    manifest_id: str
    tokenizer: str
    tokenizer_sha256: str
    shards: int
    documents: int
    tokens: int
    loss_tokens: int
    seed: int
    stale: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything on the page. `sources` are the largest files, `total` is over all `source_files`."""

    corpus: str
    root: str
    config_id: str
    rule_id: str
    tables: tuple[TableVersion, ...]
    documents: dict[str, int]  # in, keep, mask, hide, drop, quarantine
    quarantine: dict[str, int]
    policies: tuple[PolicyFacts, ...]
    sources: tuple[SourceFacts, ...]
    source_files: int
    total: SourceFacts
    export: ExportFacts | None
    samples: tuple[SampleDocument, ...]
