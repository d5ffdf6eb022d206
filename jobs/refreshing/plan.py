"""What a refresh run has to do, seen without Spark and without opening a file of the source: its listing and the
configuration against the newest release, the newest ledger and the tables' newest commits.

A step is due where something that it follows from is not what the release names. All steps after it are due too, and
each looks for itself whether there is something to do: so a run that was killed anywhere is taken up by the next. What
a step follows from beside its input is named by content, that of the configuration with the files that it names. That
is cheap enough for a run with nothing to do: bundles are verified, torch and the tokenizer are not loaded.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokensieve.jobs.config.load import find
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.exporting.unchanged_groups import is_current
from tokensieve.jobs.policies.rules import RuleSet, load_bundles, rule_set
from tokensieve.jobs.refreshing.sources import Sources, look_at_sources
from tokensieve.jobs.releases.refresh_run import Step
from tokensieve.jobs.releases.release import Release, newest_release
from tokensieve.jobs.releases.release_report import reported
from tokensieve.jobs.scoring.job import scored_by
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.tokenizing.gpt2_pair import PAIRS

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.udfs.bundles.bundle import Bundle


STEPS: tuple[Step, ...] = ("score", "mask", "export", "release", "report")


@dataclass(frozen=True, kw_only=True)
class Ids:
    """`score` names bundles, columns and all else that scores follow from but the source's files, `export` the section
    of that name with its tokenizer."""

    score: str
    rules: RuleSet
    export: str

    @classmethod
    def of(cls, config: "Config", bundles: "Mapping[str, Bundle]") -> "Ids":
        """Raises ConfigError: a policy or the tokenizer is missing or damaged."""
        export = config.export.model_dump(mode="json") | {"tokenizer": _tokenizer_sha256(config.export.tokenizer)}
        rules = rule_set(config.policies, bundles)
        bundle_ids = {name: entry.bundle_id for name, entry in rules.policies.items()}
        return cls(
            score=content_id(scored_by(config.source.columns, config.score, bundle_ids)),
            rules=rules,
            export=content_id(export),
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`due` are the steps of a night in order, each with its reason; nothing is due where nothing is new.

    What was read to find that out is there for the steps: the verified bundles, in `ids` the rules, the listed source.
    """

    bundles: "Mapping[str, Bundle]"
    ids: Ids
    previous: Release | None
    sources: Sources
    due: dict[Step, str]


def plan(config: "Config", replay: bool = False) -> Plan:
    """Looks at everything. `replay`: scoring is due in any case. Raises ConfigError, InputError."""
    bundles = load_bundles(config.policies)
    ids, previous = Ids.of(config, bundles), newest_release(config.tables.store, config.tables.variant)
    sources = look_at_sources(config.source, config.tables, config.refresh.deleted)
    due = _due(config, ids, previous, sources, replay)
    return Plan(bundles=bundles, ids=ids, previous=previous, sources=sources, due=due)


def _due(config: "Config", ids: Ids, previous: Release | None, sources: Sources, replay: bool) -> dict[Step, str]:
    if replay:
        first: tuple[Step, str] | None = ("score", "--replay")
    elif previous is None:
        first = ("score", "there is no release yet")
    else:
        first = next(_reasons(config, ids, previous, sources), None)
    if first is None:
        return {}
    step, why = first
    return {step: why, **{later: f"after {step}" for later in STEPS[STEPS.index(step) + 1 :]}}


def _reasons(config: "Config", ids: Ids, previous: Release, sources: Sources) -> Iterator[tuple[Step, str]]:
    """Why a step is due, those of earlier steps first."""
    if ids.score != previous.score_id:
        yield "score", f"score settings are {ids.score}, those of release {previous.version} {previous.score_id}"
    if sources.version != previous.source_version or (sources.changes is not None and sources.changes.any):
        yield "score", f"source: {sources}"
    yield from _moved(config.tables, previous, "scores", "score")
    if ids.rules.rule_id != previous.rule_id:
        yield "mask", f"rules are {ids.rules.rule_id}, those of release {previous.version} {previous.rule_id}"
    yield from _moved(config.tables, previous, "masked", "mask")
    if ids.export != previous.export_id:
        yield "export", f"export settings are {ids.export}, those of release {previous.version} {previous.export_id}"
    if not is_current(config.shards, previous.manifest):
        yield "export", f"the shards are not those of release {previous.version}, {previous.manifest}"
    if not reported(config.tables.store, previous.version):
        yield "report", f"no page was written for release {previous.version}"


def _moved(tables: TablesConfig, previous: Release, table: str, step: Step) -> Iterator[tuple[Step, str]]:
    commit = tables.table(table).commit()
    version = None if commit is None else commit.version
    if version != previous.tables[table]:
        yield step, f"{table} is at version {version}, release {previous.version} names {previous.tables[table]}"


def _tokenizer_sha256(reference: str | None) -> list[str]:
    """The SHA-256 of the tokenizer's file, or of each of its files."""
    if reference is None:
        raise ConfigError("export.tokenizer is not set: name the pretraining tokenizer's file")
    path = Path(reference)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
    else:
        file = find(reference)
        files = [file, *([file.with_name(PAIRS[file.name])] if file.name in PAIRS else [])]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
