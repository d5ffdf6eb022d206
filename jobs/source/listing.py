"""What there is to score: finds the shards, looks at each, settles one schema, and sets aside what does not fit.

Runs on the driver with a thread pool: footers are small, and a broken one must cost its file a quarantine row, not
the job. Counts of documents come from here, before any of them is read, so that a lost one is noticed.
"""

import os
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.source.files import SUFFIXES, id_column, source_files, source_path
from tokensieve.jobs.source.inspect_file import BrokenFile, Shard, inspect
from tokensieve.jobs.source.remote_files import remote_files
from tokensieve.jobs.source.schema import column_fault, common_json_schema, common_schema, type_fault
from tokensieve.udfs.files.storage import is_remote
from tokensieve.udfs.reading.fault_reasons import SCHEMA_MISMATCH
from tokensieve.udfs.reading.read_shard import file_version
from tokensieve.udfs.reading.split import Split

THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be read: rows of readable files, and about how many bytes of text; None where nobody knows."""

    documents: int
    text_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The source as listed: `documents` = rows of readable files + one per broken file."""

    root: str
    splits: tuple[Split, ...]
    schema: pa.Schema
    text: str
    id: str | None
    broken: tuple[BrokenFile, ...]
    files: dict[str, str]
    """Every file's version by its name."""

    @property
    def documents(self) -> int:
        return sum(split.rows for split in self.splits) + len(self.broken)

    @property
    def rows_of(self) -> dict[str, int]:
        """Documents of every file: its rows, 1 for one that is broken."""
        rows = Counter({name: 0 for name in self.files})
        for split in self.splits:
            rows[split.name] += split.rows
        return dict(rows) | {one.name: 1 for one in self.broken}

    @property
    def amount(self) -> Work:
        """What tasks will read. The bytes of JSON lines are not those of the text."""
        parquet = all(split.format == "parquet" for split in self.splits)
        text_bytes = sum(split.text_bytes for split in self.splits)
        return Work(documents=sum(split.rows for split in self.splits), text_bytes=text_bytes if parquet else None)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The source's files before anybody opened them: `paths` and `versions` by name, "" for an unknown version."""

    root: str
    paths: dict[str, str]
    versions: dict[str, str]

    def without(self, names: Collection[str]) -> "Found":
        """The others."""
        paths = {name: path for name, path in self.paths.items() if name not in names}
        return Found(root=self.root, paths=paths, versions={name: self.versions[name] for name in paths})


def find_files(config: SourceConfig) -> Found:
    """Looks for the files of a Parquet or JSONL source. Raises InputError: nothing there."""
    if is_remote(config.path):
        return _find_remote(config)
    root, paths = source_files(config)
    named = {os.path.relpath(path, root): path for path in paths}
    named = {name: path for name, path in named.items() if not config.excludes(name)}
    with ThreadPoolExecutor(THREADS) as pool:
        versions = dict(zip(named, pool.map(_version, named.values())))
    return Found(root=root, paths=named, versions=versions)


def _find_remote(config: SourceConfig) -> Found:
    """As `find_files`; versions come with the listing."""
    there = remote_files(source_path(config), config.storage, SUFFIXES[config.format])
    if not there.versions:
        raise InputError(f"source.path: no {config.format} file at {config.path}")
    versions = {name: version for name, version in there.versions.items() if not config.excludes(name)}
    return Found(root=there.root, paths={name: f"{there.root}/{name}" for name in versions}, versions=versions)


def _version(path: str) -> str:
    try:
        return file_version(path)
    except OSError:  # said of the file when it is opened
        return ""


def list_files(
    config: SourceConfig,
    names: Collection[str] | None = None,
    settled: pa.Schema | None = None,
    found: Found | None = None,
) -> Listing:
    """Opens the files of a Parquet or JSONL source, with `names` only these of them.

    Args:
        settled: the schema of files that were listed before; it may get more columns, but no other types.
        found: what the run has found already, `names` among it; None: looks for the files itself.

    Raises InputError: nothing there, or no file with usable columns, and none was settled.
    """
    found = found or find_files(config)
    wanted = [found.paths[name] for name in (found.paths if names is None else sorted(names))]
    with ThreadPoolExecutor(THREADS) as pool:
        looked = list(pool.map(lambda path: _inspected(path, found.root, config), wanted))
    broken = [one for one in looked if isinstance(one, BrokenFile)]
    readable = [one for one in looked if isinstance(one, Shard)]
    candidates = [one.schema for one in readable if not column_fault(one.schema, config.columns)]
    schema = (common_json_schema if config.format == "jsonl" else common_schema)(candidates, settled)
    if schema is None:
        raise _unusable(config, broken, readable)
    usable = []
    for one in readable:
        fault = column_fault(one.schema, config.columns)
        if config.format == "parquet":
            fault = fault or type_fault(one.schema, schema)
        if fault:
            broken.append(BrokenFile(name=one.name, version=one.version, reason=SCHEMA_MISMATCH, detail=fault))
        else:
            usable.append(one)
    return Listing(
        root=found.root,
        splits=tuple(split for one in usable for split in one.splits),
        schema=schema,
        text=config.columns.text,
        id=id_column(config.columns, schema.names),
        broken=tuple(broken),
        files={one.name: one.version for one in (*usable, *broken)},
    )


def _inspected(path: str, root: str, config: SourceConfig) -> Shard | BrokenFile:
    return inspect(path, root, config.format, config.columns.text, config.storage)


def _unusable(config: SourceConfig, broken: list[BrokenFile], readable: list[Shard]) -> InputError:
    first = f"{broken[0].name}: {broken[0].detail}" if broken else ""
    if readable:
        first = f"{readable[0].name}: {column_fault(readable[0].schema, config.columns)}"
    count = len(broken) + len(readable)
    return InputError(f"source.path: none of the {count} files in {config.path} can be scored. {first}")
