"""What the next refresh would do. Nothing is written; of new and changed files the footers are read, without Spark."""

from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.refreshing.plan import Plan, plan
from tokensieve.jobs.refreshing.sources import Sources, broken
from tokensieve.jobs.scoring.job import SCHEMA
from tokensieve.jobs.source.listing import list_files
from tokensieve.jobs.source.schema import from_text
from tokensieve.jobs.tables.config import TablesConfig

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config

KINDS = ("new", "changed", "gone", "missing")
LISTED = 20  # names of each kind, for people; with --json all


def dry_run(config: "Config", replay: bool) -> dict[str, Any]:
    """The steps that are due with their reasons, the source files by kind, those that cannot be taken.

    Raises ConfigError, InputError, as the refresh would.
    """
    found = plan(config, replay)
    names: dict[str, list[str]] = {kind: list(getattr(found.sources.changes, kind, ())) for kind in KINDS}
    faults = _broken(config.source, config.tables, found.sources)
    return {
        "due": dict(found.due),
        **names,
        "broken": faults,
        "release": found.previous.version if found.previous else None,
        "lines": _lines(found, names, faults),
    }


def _broken(source: SourceConfig, tables: TablesConfig, sources: Sources) -> dict[str, str]:
    """Files that could not be taken, and of those that were not looked at yet those that cannot be."""
    changes = sources.changes
    if changes is None:
        return {}
    known = {name: why for name, why in broken(sources.ledger).items() if name in changes.kept}
    fresh = {*changes.new, *changes.changed}
    if not fresh:
        return known
    commit = tables.table("scores").commit()
    settled = None if commit is None else from_text(str(commit.inputs[SCHEMA]))
    looked = list_files(source, fresh, settled, sources.found)
    return known | {one.name: f"{one.reason}: {one.detail}" for one in looked.broken}


def _lines(found: Plan, names: dict[str, list[str]], faults: dict[str, str]) -> list[str]:
    lines = [f"{step:<8} {why}" for step, why in found.due.items()] or ["nothing to do"]
    for kind, files in names.items():
        lines += [f"{kind}: {len(files)}", *(f"  {name}" for name in files[:LISTED])] if files else []
        lines += [f"  and {len(files) - LISTED} more"] if len(files) > LISTED else []
    lines += [f"broken: {len(faults)}"] if faults else []
    return lines + [f"  {name}: {why}" for name, why in list(faults.items())[:LISTED]]
