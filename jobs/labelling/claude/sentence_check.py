"""Do sentences asked about together get the labels that they get alone? Asked of a few documents before all others.

A joint prompt is about n times cheaper and may shift labels; this measures by how much, before the money is spent.
"""

from dataclasses import dataclass
from pathlib import Path

from jobs.errors import VerbError
from jobs.labelling.files import write_json


class AgreementError(VerbError):
    """Joint and single answers about the same sentences differ too much; nothing was labelled."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Sentences by what was said of them together and alone; `unanswered` had no answer in one of the two ways."""

    documents: int
    both: int
    joint_only: int
    single_only: int
    neither: int
    unanswered: int

    @property
    def compared(self) -> int:
        return self.both + self.joint_only + self.single_only + self.neither

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; 1 where both ways say the same of all sentences, None where there is nothing to compare."""
        if not self.compared:
            return None
        joint = (self.both + self.joint_only) / self.compared
        single = (self.both + self.single_only) / self.compared
        agreed = (self.both + self.neither) / self.compared
        chance = joint * single + (1 - joint) * (1 - single)
        return 1.0 if agreed == 1 else (agreed - chance) / (1 - chance)

    def report(self, file: Path, floor: float, **made_by: str) -> None:
        """Writes the counts as JSON."""
        names = ("documents", "both", "joint_only", "single_only", "neither", "unanswered")
        counts = {name: getattr(self, name) for name in names}
        write_json(file, {**made_by, **counts, "kappa": self.kappa, "floor": floor})

    def refuse_below(self, floor: float, file: Path) -> None:
        """Raises AgreementError below the floor, and where sentences were asked about but none can be compared."""
        if self.kappa is None and self.unanswered:
            raise AgreementError(
                f"none of the {self.unanswered} sentences of the check was answered both together and alone ({file}); "
                "see the refusals in the ledger, or set claude.sentences.check_documents=0 to label without the check"
            )
        if self.kappa is not None and self.kappa < floor:
            raise AgreementError(
                f"sentences asked about together and alone agree with kappa {self.kappa:.3f}, below "
                f"claude.sentences.kappa_floor={floor}: of {self.compared} sentences {self.joint_only} are to be "
                f"forgotten only when asked together, {self.single_only} only when asked alone ({file}); ask about "
                "fewer at a time (claude.sentences.max_characters, max_sentences), or mend the policy's examples"
            )
