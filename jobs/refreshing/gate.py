"""The tolerance of a night: how many of the documents that it brought may be quarantined before it fails loudly.

Only source files written since the previous release count, so that a bad shard is not hidden by a large corpus, and a
corpus with many known faults does not fail every night. Without a release in between the next night asks again.
"""

from typing import TYPE_CHECKING

from jobs.errors import QuarantineError
from jobs.quarantine import read_quarantine
from jobs.refreshing.night import Gate
from jobs.refreshing.release import Release
from jobs.refreshing.sources import newest_ledger
from jobs.scoring.outcome import DUPLICATE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config import Config
    from jobs.ledger import Ledger

WORST = 3  # source files that the error names


def measure(config: "Config", spark: "SparkSession", previous: Release | None) -> tuple[Gate, dict[str, int]]:
    """What was quarantined since the previous release, and of that how much by source file, most first."""
    ledger = newest_ledger(config)
    written = None if ledger is None else _written(ledger, previous)
    commit = config.tables.table("scores").commit()
    assert commit is not None
    documents = commit.counts["in"] if ledger is None else _documents(ledger, written)
    by_file = {} if written == set() else _by_file(read_quarantine(config.tables, spark), written)
    gate = Gate(documents=documents, quarantined=sum(by_file.values()), tolerance=config.score.quarantine_tolerance)
    return gate, by_file


def refuse(config: "Config", gate: Gate, by_file: dict[str, int]) -> None:
    """Raises QuarantineError when the share is above the tolerance."""
    if gate.passes:
        return
    worst = ", ".join(f"{name} ({count})" for name, count in list(by_file.items())[:WORST])
    raise QuarantineError(
        f"{gate.quarantined} of {gate.documents} documents written since the last release are quarantined, "
        f"{gate.share:.2%}, above score.quarantine_tolerance={gate.tolerance}; most in {worst}. Scores are written, "
        f"nothing is released; reasons are in {config.tables.store.uri('quarantine')}. Repair the files and run again, "
        "or `tokensieve refresh --replay` where the files were right, source.exclude to leave them out, or raise the "
        "tolerance"
    )


def replayed(config: "Config", spark: "SparkSession") -> list[str]:
    """Source files with rows that could not be scored, copies of other documents not counted; none before scoring."""
    if config.tables.table("scores").newest() is None:
        return []
    rows = read_quarantine(config.tables, spark).where(f"reason <> '{DUPLICATE}'")
    return sorted(row["source_file"] for row in rows.select("source_file").distinct().collect())


def _written(ledger: "Ledger", previous: Release | None) -> set[str] | None:
    """Source files written since the previous release; None: all, which is not worth a list."""
    if previous is None:
        return None
    return {name for name, source in ledger.sources.items() if source.written > previous.tables["scores"]}


def _documents(ledger: "Ledger", written: set[str] | None) -> int:
    return sum(source.documents for name, source in ledger.sources.items() if written is None or name in written)


def _by_file(quarantine: "DataFrame", written: set[str] | None) -> dict[str, int]:
    from pyspark.sql import functions as F

    rows = quarantine if written is None else quarantine.where(F.col("source_file").isin(sorted(written)))
    counts = {row["source_file"]: row["count"] for row in rows.groupBy("source_file").count().collect()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
