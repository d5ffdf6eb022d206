"""`<root>/reports/<release:08d>.json`: a release's report, and the histograms that it and the next one follow from.

It follows from the tables that the release pins, so a night that was killed before it wrote one can write it later. It
carries sums and history along: the next night needs this one file, not thirty, and no scan of old rows.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from jobs.refreshing.report.facts import Facts, ReleaseReport

if TYPE_CHECKING:
    from jobs.store import Store

FOLDER = "reports"


class Profile(Facts):
    """One policy's scores. Histograms are counts on the logit grid (`udfs.scores`), 256 each."""

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
