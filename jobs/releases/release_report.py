"""What is said of a release against the one before, and of a refresh run, as plain values: what refresh.json holds.

All texts in here come from a corpus or a configuration and are hostile until a page has escaped them. A release's
report stands in `<root>/reports/<release:08d>.json`, with the histograms that it and the next one follow from. It
follows from the tables that the release pins, so a run that was killed before it wrote one can write it later. It
carries sums and history along: the next run needs this one file, not thirty, and no scan of old rows.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokensieve.jobs.releases.refresh_run import Night, SourceChanges

if TYPE_CHECKING:
    from tokensieve.jobs.tables.store import Store

LISTED = 50  # names of source files in a list; totals are beside it
HISTORY = 30  # releases in the history
FOLDER = "reports"
Verdict = Literal["steady", "warn", "alarm", "too_few", "no_reference", "nothing_new"]


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


class Difference(BaseModel):
    """Two distributions of document scores compared. Figures are None where a side has no document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: int
    """Documents with a score on this side."""
    after: int
    ks: float | None = None
    """Largest distance of the two cumulative shares, 0 to 1."""
    p_value: float | None = None
    """Of the two-sample Kolmogorov-Smirnov test, asymptotic: the chance of such a distance without drift, for
    independent documents. Scores on a grid have ties, which makes it larger than it is, never smaller."""
    psi: float | None = None
    """Population stability index over bins of one logit: 0 for equal shares, in practice small below 0.1."""


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


class Profile(Facts):
    """One policy's scores. Histograms are counts on the logit grid (`udfs.scores.stored_scores`), 256 each."""

    bundle_id: str
    threshold: float
    """The token threshold in force, a probability."""
    documents_B: tuple[int, ...]
    """Documents of the source files written since the previous release, by document score."""
    tokens_B: tuple[int, ...]
    """Their classifier tokens, by token score."""
    unscored: int
    """Of them, documents without a token, which have no score."""
    reference_documents_B: tuple[int, ...]
    """Documents of earlier releases that they are held against."""
    known_documents_B: tuple[int, ...]
    """The reference of the next night: these documents and those of earlier releases with this bundle. A file that was
    written in several releases counts in each, until a release writes all files."""
    known_tokens_B: tuple[int, ...]
    other_bundle: "SameDocuments | None" = None
    """Where the bundle is another one than in the previous release."""


class SameDocuments(Facts):
    """Documents with equal id and text in two releases, with a score in both, by document score."""

    before_B: tuple[int, ...]
    after_B: tuple[int, ...]


class ReportFile(Facts):
    """What the file holds."""

    format: Literal["tokensieve-release-report/1"] = "tokensieve-release-report/1"
    report: ReleaseReport
    profiles: Mapping[str, Profile]

    def save(self, store: "Store") -> None:
        """Writes it, in place of what is there."""
        store.write(_name(self.report.release), (self.model_dump_json() + "\n").encode())

    @classmethod
    def load(cls, store: "Store", release: int) -> "ReportFile | None":
        """The file of a release; None where it was not written, or is damaged: it can be made again."""
        try:
            return cls.model_validate_json(store.read(_name(release)))
        except (FileNotFoundError, ValidationError):
            return None


def reported(store: "Store", release: int) -> bool:
    """Whether the report of a release can be read: if not, the night's step `report` has something to do."""
    return ReportFile.load(store, release) is not None


def _name(release: int) -> str:
    return f"{FOLDER}/{release:08d}.json"
