"""A document that is in the tables no more: which release had it last, why it left, and which runs had read of it.

Looks in the document indices of all manifests that are kept, one scan of their id column, and only where it is in none
of them (a dropped document) in the tables of one release after the other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.pages.html import one_line
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.releases.training_runs import Run, known_runs
from tokensieve.jobs.tables.ledger import Ledger
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.manifest import KEPT, Manifest, inside

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config


@dataclass(frozen=True, kw_only=True)
class RunOf:
    """A run, and whether the shards it read held the document; None: its manifest is no longer kept."""

    folder: str
    corpus_id: str
    had_it: bool | None


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is still known of a document that left.

    Attributes:
        source_file, source_row: where it came from.
        why: what the tables say now of that file.
        last_release, left_with: versions; None where no release had it, or none was made since.
        manifests: the kept manifests whose shards have it.
    """

    source_file: str
    source_row: int
    why: str
    last_release: int | None
    left_with: int | None
    manifests: tuple[str, ...]
    runs: tuple[RunOf, ...]


def find_left(config: "Config", spark: "SparkSession", doc_id: str) -> Left | None:
    """None where no kept manifest and no release had the document. Raises InputError, ManifestError."""
    made = [Release.load(config.tables.store, version) for version in releases(config.tables.store)]
    made = [release for release in made if release.variant == config.tables.variant]
    manifests = _kept(config.shards)
    place, ids = _in_shards(config.shards, manifests, spark, doc_id)
    last = max((release.version for release in made if release.manifest in ids), default=None)
    if place is None:
        place, last = _in_tables(config, spark, made, doc_id)
    if place is None:
        return None
    later = [release.version for release in made if last is not None and release.version > last]
    return Left(
        source_file=place[0],
        source_row=place[1],
        why=_why(config, place[0]),
        last_release=last,
        left_with=min(later, default=None),
        manifests=tuple(sorted(ids)),
        runs=tuple(_run(run, manifests, ids) for run in known_runs(config)),
    )


def left_lines(doc_id: str, left: Left) -> list[str]:
    """For a terminal."""
    last = "no release had it" if left.last_release is None else f"{left.last_release} was the last that had it"
    since = "" if left.left_with is None else f", {left.left_with} has it no more"
    verdicts = {True: "the shards it read held the document", False: "its shards did not hold it"}
    found = [
        f"document {one_line(doc_id, 200)}",
        "! left",
        f"  was         {one_line(left.source_file, 200)}, row {left.source_row}",
        f"  why         {one_line(left.why, 300)}",
        f"  release     {last}{since}",
        f"  manifests   {', '.join(left.manifests) or 'none that is kept has it'}",
    ]
    for run in left.runs:
        verdict = "not known, its manifest is no longer kept" if run.had_it is None else verdicts[run.had_it]
        found.append(f"  run         {run.folder}, corpus {run.corpus_id}: {verdict}")
    return found if left.runs else [*found, "  run         none was found in pretrain.out and trace.runs"]


def _kept(folder: "Path") -> dict[str, Manifest]:
    """Every manifest of the folder, the newest among them, by id."""
    ids = [path.stem for path in sorted((folder / KEPT).glob("*.json"))]
    try:
        newest = [Manifest.load(folder)]
    except ManifestError:  # nothing was exported
        newest = []
    return {manifest.id: manifest for manifest in (*newest, *(Manifest.load(folder, id) for id in ids))}


def _in_shards(
    folder: "Path", manifests: dict[str, Manifest], spark: "SparkSession", doc_id: str
) -> tuple[tuple[str, int] | None, set[str]]:
    """Where the document came from, and the ids of the manifests that have it."""
    shards = {shard.prefix: shard.docs for manifest in manifests.values() for shard in manifest.shards}
    files = [str(inside(folder, docs)) for docs in shards.values() if inside(folder, docs).is_file()]
    if not files:
        return None, set()
    rows = _of(spark.read.parquet(*files), doc_id).select("shard", "source_file", "source_row").collect()
    prefixes = {row["shard"] for row in rows}
    ids = {id for id, manifest in manifests.items() if any(shard.prefix in prefixes for shard in manifest.shards)}
    return ((rows[0]["source_file"], rows[0]["source_row"]) if rows else None), ids


def _in_tables(
    config: "Config", spark: "SparkSession", made: list[Release], doc_id: str
) -> tuple[tuple[str, int] | None, int | None]:
    """Where the document came from, and the newest release whose tables have it."""
    table, looked_at = config.tables.table("scores"), set()
    for release in reversed(made):
        version = release.tables["scores"]
        if version in looked_at:
            continue
        looked_at.add(version)
        row = _of(table.read(spark, version), doc_id).select("source_file", "source_row").first()
        if row is not None:
            return (row["source_file"], row["source_row"]), release.version
    return None, None


def _of(rows: "DataFrame", doc_id: str) -> "DataFrame":
    from pyspark.sql import functions as F

    return rows.where(F.col("doc_id") == doc_id)


def _why(config: "Config", source_file: str) -> str:
    commit = config.tables.table("scores").commit()
    ledger = Ledger.of(config.tables.store, commit)
    if ledger is None:
        return "the source has it no more"
    source = ledger.sources.get(source_file)
    if source is None:
        return "its source file has left: deleted, or excluded by source.exclude"
    if source.fault is not None:
        return f"its source file can no longer be read: {source.fault}"
    return f"its source file has no such document any more in version {source.version}"


def _run(run: Run, manifests: dict[str, Manifest], ids: set[str]) -> RunOf:
    had_it = bool(run.manifests & ids) if run.manifests & manifests.keys() else None
    return RunOf(folder=str(run.folder), corpus_id=run.corpus_id, had_it=had_it)
