"""The rows of a table that stay when some source files are scored anew, and what the new rows change about them.

Of rows with equal ids the first by file and row counts, whatever refresh brought it. So a new file may take the place
of an old row, and a file that leaves may give its place back to a row that was quarantined as its copy.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.scoring.quarantined_rows import (
    PLACE,
    QUARANTINE,
    duplicates,
    later_copies,
    without_duplicates,
)
from tokensieve.jobs.source.changes import Changes
from tokensieve.udfs.reading.fault_reasons import DUPLICATE_ID

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The tables `scores` and `quarantine` as they stand, before the change."""

    scores: "DataFrame"
    quarantine: "DataFrame"

    def restored(self, found: Changes) -> list[str]:
        """Kept files with rows that were quarantined as copies of rows that may leave: they have to be scored again."""
        if not found.leaving:
            return []
        firsts = self.scores.where(_of(found.leaving)).select("doc_id")
        copies = self._copies(found).join(firsts, "doc_id", "left_semi")
        return sorted(row["source_file"] for row in copies.select("source_file").distinct().collect())

    def kept_scores(self, found: Changes) -> "DataFrame":
        """Scored rows of files that stay."""
        return _staying(self.scores, found)

    def kept_faults(self, found: Changes) -> "DataFrame":
        """Quarantined rows of files that stay, but for copies."""
        return _staying(self.quarantine.where(f"reason <> '{DUPLICATE_ID}'").select(*QUARANTINE), found)

    def occurrences(self, found: Changes, new: "DataFrame") -> "DataFrame":
        """PLACE of the new rows, of known copies, and of the kept rows that have an id of one of these."""
        asked = new.unionByName(self._copies(found))
        same = self.kept_scores(found).select(*PLACE).join(asked.select("doc_id").distinct(), "doc_id", "left_semi")
        return asked.unionByName(same.select(*PLACE))

    def _copies(self, found: Changes) -> "DataFrame":
        return _staying(self.quarantine.where(f"reason = '{DUPLICATE_ID}'").select(*PLACE), found)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What the next version of the tables gets.

    Attributes:
        scores: rows of the scored files, and of `moved`. moved: kept files that lose a row to an earlier copy.
        quarantine: all of its rows. doubled: what both are made with; persisted, the caller lets go of it.
    """

    scores: "DataFrame"
    moved: tuple[str, ...]
    quarantine: "DataFrame"
    doubled: "DataFrame"


def merged(standing: Standing | None, found: Changes | None, scored: "DataFrame", faults: "DataFrame") -> Merged:
    """Puts newly scored rows (those without a reason) and faults beside what stays; nothing stays without `found`."""
    good = scored.where("reason is null").drop("reason", "detail")
    places = good.select(*PLACE)
    occurrences = places if standing is None or found is None else standing.occurrences(found, places)
    doubled = duplicates(occurrences).persist()
    copies = later_copies(occurrences, doubled)
    rows, moved = without_duplicates(good, doubled), []
    if standing is not None and found is not None:
        faults = faults.unionByName(standing.kept_faults(found))
        kept = standing.kept_scores(found)
        losing = later_copies(kept.select(*PLACE), doubled).select("source_file").distinct().collect()
        moved = sorted(row["source_file"] for row in losing)
        if moved:
            rows = rows.unionByName(without_duplicates(kept.where(_of(moved)), doubled), allowMissingColumns=True)
    return Merged(scores=rows, moved=tuple(moved), quarantine=faults.unionByName(copies), doubled=doubled)


def _staying(rows: "DataFrame", found: Changes) -> "DataFrame":
    return rows.where(~_of(found.leaving)) if found.leaving else rows


def _of(names: "set[str] | list[str]") -> "Column":
    from pyspark.sql import functions as F

    return F.col("source_file").isin(sorted(names))
