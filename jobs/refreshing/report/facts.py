"""What is said of a release against the one before, and of a night, as plain values: what refresh.json holds.

All texts in here come from a corpus or a configuration and are hostile until a page has escaped them.
"""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from jobs.refreshing.night import Night, SourceChanges
from jobs.refreshing.report.drift import Difference, Verdict

LISTED = 50  # names of source files in a list; totals are beside it
HISTORY = 30  # releases in the history


class Facts(BaseModel):
    """Base of all values here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Totals(Facts):
    """All rows of a release's masked table and shards."""

    documents: Mapping[str, int]
    """in, keep, mask, hide, drop, quarantine."""
    text_bytes: int
    """UTF-8 bytes of all scored documents, dropped ones counted."""
    forget_bytes: Mapping[str, int]
    """Policy to the bytes in its forget spans. Where policies overlap, one of them has the bytes."""
    tokens: int
    loss_tokens: int

    def forget_share(self, policy: str | None = None) -> float:
        """Of the text's bytes, 0 to 1: a policy's, or all of them."""
        found = sum(self.forget_bytes.values()) if policy is None else self.forget_bytes.get(policy, 0)
        return found / self.text_bytes if self.text_bytes else 0.0


class TokenFigures(Facts):
    """What a histogram of token scores amounts to; None where there are no tokens."""

    tokens: int
    mean: float | None
    """Mean probability, of the grid's values."""
    above: float | None
    """Share at or above the threshold in force."""


class Drift(Facts):
    """One policy, tonight's documents against the reference."""

    difference: Difference
    verdict: Verdict
    tokens_before: TokenFigures
    tokens_after: TokenFigures


class BundleChange(Facts):
    """The same documents under the previous and the new bundle of a policy."""

    before: str
    after: str
    name_before: str
    name_after: str
    difference: Difference
    """Of documents with equal id and text in both releases, with a score on both sides."""
    mean_change: float | None
    """Mean of new minus old document score, probabilities."""
    correlation: float | None
    """Of the logits on the grid; None where one side does not vary."""


class Flip(Facts):
    """Documents of equal id and text whose action is another one."""

    before: str
    after: str
    documents: int


class Flips(Facts):
    """What another bundle or rule does to documents that both releases have."""

    compared: int
    moves: tuple[Flip, ...]

    @property
    def share(self) -> float:
        return sum(move.documents for move in self.moves) / self.compared if self.compared else 0.0


class RuleChange(Facts):
    """One setting of a policy's rule that is another one; None: the policy was not there."""

    policy: str
    setting: str
    before: str | None
    after: str | None


class Point(Facts):
    """A release in the history."""

    release: int
    made_at: datetime
    documents: int
    forget_share: Mapping[str, float]


class Sources(Facts):
    """Changes of source files: how many, and the first names of each kind in order."""

    counts: Mapping[str, int]
    """new, changed, gone, missing, rescored, kept, broken."""
    names: Mapping[str, tuple[str, ...]]
    """At most LISTED of each of the first five."""
    broken: Mapping[str, str]
    """At most LISTED files that could not be taken, to "reason: detail"."""

    @classmethod
    def of(cls, changes: SourceChanges) -> "Sources":
        kinds = {name: getattr(changes, name) for name in ("new", "changed", "gone", "missing", "rescored")}
        counts = {name: len(files) for name, files in kinds.items()}
        return cls(
            counts=counts | {"kept": changes.kept, "broken": len(changes.broken)},
            names={name: files[:LISTED] for name, files in kinds.items() if files},
            broken=dict(sorted(changes.broken.items())[:LISTED]),
        )


class ReleaseReport(Facts):
    """A release against the previous one."""

    release: int
    previous: int | None
    made_at: datetime
    last_new_at: datetime | None
    """When the newest release was made that has new or changed source files; None: no kept history has one."""
    totals: Totals
    before: Totals | None
    """Of the previous release."""
    sources: Sources
    bundles: Mapping[str, str]
    """Policy to the name of its bundle in the configuration."""
    drift: Mapping[str, Drift]
    bundle_changes: Mapping[str, BundleChange] = {}
    rule_changes: tuple[RuleChange, ...] = ()
    flips: Flips | None = None
    """Where bundle or rule changed."""
    history: tuple[Point, ...] = Field(max_length=HISTORY)
    """Oldest first; the last is this release."""


class NightFile(Night):
    """`<root>/refresh.json`: the night, and what is said of the newest release."""

    last_success_at: datetime | None = None
    """When a refresh last ended well."""
    report: ReleaseReport | None = None
    warnings: tuple[str, ...] = ()
    """What did not work, but is no reason to call the night failed."""
