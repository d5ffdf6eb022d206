"""The tolerance of a refresh: how many of the documents that it brought may be quarantined before it fails loudly.

Only source files written since the previous release count, so that a bad shard is not hidden by a large corpus, and of
them only what is not in that release's quarantine already: a replay that mends nothing is no worse than before. Without
a release in between the next refresh asks again.
"""

from typing import TYPE_CHECKING

from tokensieve.jobs.errors import QuarantineError
from tokensieve.jobs.releases.refresh_run import Gate
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.quarantine import read_quarantine
from tokensieve.udfs.reading.fault_reasons import DUPLICATE_ID

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

WORST = 3  # source files that the error names


def measure(
    tables: TablesConfig, tolerance: float, spark: "SparkSession", previous: Release | None
) -> tuple[Gate, dict[str, int]]:
    """What was quarantined since the previous release, and of that how much by source file, most first."""
    commit, rows = tables.table("scores").commit(), read_quarantine(tables, spark)
    ledger = Ledger.of(tables.store, commit)
    if ledger is None:
        documents = 0 if commit is None else commit.counts["in"]
        return _gate(tolerance, documents, rows)
    if previous is None:
        return _gate(tolerance, ledger.documents, rows)
    written = {name for name, source in ledger.sources.items() if source.written > previous.tables["scores"]}
    documents = sum(ledger.sources[name].documents for name in written)
    return _gate(tolerance, documents, _new(tables, spark, rows, ledger, written, previous))


def refuse(tables: TablesConfig, gate: Gate, by_file: dict[str, int]) -> None:
    """Raises QuarantineError when the share is above the tolerance."""
    if gate.passes:
        return
    worst = ", ".join(f"{name} ({count})" for name, count in list(by_file.items())[:WORST])
    raise QuarantineError(
        f"{gate.quarantined} of {gate.documents} documents written since the last release are quarantined, "
        f"{gate.share:.2%}, above score.quarantine_tolerance={gate.tolerance}; most in {worst}. Scores are written, "
        f"nothing is released; reasons are in {tables.store.uri('quarantine')}. Repair the files and run again, "
        "or `tokensieve refresh --replay` where the files were right, source.exclude to leave them out, or raise the "
        "tolerance"
    )


def replayed(tables: TablesConfig, spark: "SparkSession") -> list[str]:
    """Source files with rows that could not be scored, copies of other documents not counted; none before scoring."""
    if tables.table("scores").newest() is None:
        return []
    rows = read_quarantine(tables, spark).where(f"reason <> '{DUPLICATE_ID}'")
    return sorted(row["source_file"] for row in rows.select("source_file").distinct().collect())


def _gate(tolerance: float, documents: int, rows: "DataFrame") -> tuple[Gate, dict[str, int]]:
    counts = {row["source_file"]: row["count"] for row in rows.groupBy("source_file").count().collect()}
    by_file = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Gate(documents=documents, quarantined=sum(counts.values()), tolerance=tolerance), by_file


def _new(
    tables: TablesConfig, spark: "SparkSession", rows: "DataFrame", ledger: Ledger, written: set[str], previous: Release
) -> "DataFrame":
    """Quarantined rows of the written files, without those that the previous release has of the same files."""
    from pyspark.sql import functions as F

    then = sources_of(Ledger.of(tables.store, previous))
    same = [name for name in written if name in then and then[name].version == ledger.sources[name].version]
    known = tables.table("quarantine").read(spark, previous.tables["quarantine"])
    known = known.where(F.col("source_file").isin(same)).select("source_file", "source_row", "reason").alias("known")
    now = rows.where(F.col("source_file").isin(sorted(written))).alias("now")
    equal = [F.col(f"now.{name}").eqNullSafe(F.col(f"known.{name}")) for name in known.columns]
    return now.join(known, equal, "left_anti")
