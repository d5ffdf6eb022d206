"""What there is to score: finds the shards, reads their footers, settles one schema, and cuts the work into splits.

Runs on the driver with a thread pool: footers are small, and a broken one must cost its file a quarantine row, not
the job. Counts of documents come from here, before any of them is read, so that a lost one is noticed.
"""

import glob
import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from jobs.errors import InputError
from udfs.installed import conf_folder
from udfs.read_shard import Split, file_version, numbered_lines


class ColumnsConfig(BaseModel):
    """Which source columns play a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = "text"
    id: str | None = None
    """None: the column `id` where the source has one, else ids are made from file and row."""


class SourceConfig(BaseModel):
    """Section `source`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """A file, a folder, or a glob; for delta the table's folder."""
    format: Literal["parquet", "jsonl", "delta"] = "parquet"
    columns: ColumnsConfig = ColumnsConfig()


SUFFIXES = {"parquet": (".parquet",), "jsonl": (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz")}


@dataclass(frozen=True, kw_only=True)
class BrokenFile:
    """A file that cannot be scored at all; it counts as one quarantined document."""

    name: str
    version: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The source as listed: `documents` = rows of readable files + one per broken file."""

    root: str
    splits: tuple[Split, ...]
    schema: pa.Schema
    text: str
    id: str | None
    broken: tuple[BrokenFile, ...]

    @property
    def documents(self) -> int:
        return sum(rows for split in self.splits for _, _, rows in split.row_groups) + len(self.broken)

    @property
    def files(self) -> dict[str, str]:
        """Every file's version by its name."""
        return {split.name: split.version for split in self.splits} | {b.name: b.version for b in self.broken}


@dataclass(frozen=True, kw_only=True)
class _Inspected:
    path: str
    name: str
    version: str
    rows: tuple[int, ...]  # per row group
    schema: pa.Schema


def list_files(config: SourceConfig) -> Listing:
    """Lists a Parquet or JSONL source. Raises InputError: nothing there, or no file with usable columns."""
    root, paths = _paths(config)
    with ThreadPoolExecutor(16) as pool:
        looked = list(pool.map(lambda path: _inspect(path, root, config.format), paths))
    broken = [one for one in looked if isinstance(one, BrokenFile)]
    readable = [one for one in looked if isinstance(one, _Inspected)]
    candidates = [one.schema for one in readable if not _column_fault(one.schema, config.columns)]
    schema = _common_json_schema(candidates) if config.format == "jsonl" else _common_schema(candidates)
    if schema is None:
        raise _unusable(config, broken, readable)
    usable = []
    for one in readable:
        fault = _column_fault(one.schema, config.columns)
        if config.format == "parquet":
            fault = fault or _type_fault(one.schema, schema)
        if fault:
            broken.append(BrokenFile(name=one.name, version=one.version, reason="schema_mismatch", detail=fault))
        else:
            usable.append(one)
    return Listing(
        root=root,
        splits=tuple(split for one in usable for split in _splits(one, config.format)),
        schema=schema,
        text=config.columns.text,
        id=id_column(config.columns, schema.names),
        broken=tuple(broken),
    )


def id_column(columns: ColumnsConfig, names: list[str]) -> str | None:
    """The column that holds document ids, None when ids are to be made."""
    return columns.id or ("id" if "id" in names else None)


def _paths(config: SourceConfig) -> tuple[str, list[str]]:
    """The source's root and its files in order of name."""
    path, root = source_path(config), source_root(config)
    suffixes = SUFFIXES[config.format]
    if os.path.isdir(path):
        files = (str(file) for file in Path(path).rglob("*") if file.name.endswith(suffixes))
        found = [file for file in files if _visible(file, root) and os.path.isfile(file)]
    elif os.path.isfile(path):
        found = [path]
    elif glob.has_magic(path):
        found = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    else:
        raise InputError(f"source.path: {config.path} does not exist (looked for {path})")
    if not found:
        wanted = " or ".join(suffixes)
        raise InputError(f"source.path: no {wanted} file in {config.path}; source.format is {config.format}")
    return root, sorted(found)


def source_root(config: SourceConfig) -> str:
    """The folder below which tables name the source's files: the longest part of the path without a wildcard."""
    path = source_path(config)
    if os.path.isdir(path):
        return path
    return os.path.dirname(path if os.path.isfile(path) else path[: len(path) - len(_wild(path))])


def _wild(path: str) -> str:
    """The part of a glob from its first wildcard on."""
    found = re.search(r"[*?[]", path)
    return path[found.start() :] if found else ""


def source_path(config: SourceConfig) -> str:
    """`source.path` as an absolute path; `conf/...` that is not here is looked for in the installed presets."""
    if not os.path.exists(config.path) and config.path.startswith("conf/"):
        return str(conf_folder() / config.path.removeprefix("conf/"))
    return os.path.abspath(config.path)


def _visible(file: str, root: str) -> bool:
    """Hidden files and folders (`_SUCCESS`, `.part.crc`, `_staging/`) are no data, here as in Spark."""
    return not any(part.startswith(("_", ".")) for part in Path(file).relative_to(root).parts)


def _inspect(path: str, root: str, format: str) -> _Inspected | BrokenFile:
    name = os.path.relpath(path, root)
    version = ""
    try:
        version = file_version(path)
        rows, schema = _json_shape(path) if format == "jsonl" else _parquet_shape(path)
    except (pa.ArrowException, OSError, EOFError) as error:
        detail = f"{type(error).__name__}: {error}"
        return BrokenFile(name=name, version=version, reason="unreadable_file", detail=detail)
    return _Inspected(path=path, name=name, version=version, rows=rows, schema=schema)


def _parquet_shape(path: str) -> tuple[tuple[int, ...], pa.Schema]:
    with pq.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        rows = tuple(file.metadata.row_group(group).num_rows for group in groups)
        return rows, pa.schema([spark_field(field) for field in file.schema_arrow])


def _json_shape(path: str) -> tuple[tuple[int, ...], pa.Schema]:
    """Lines, and the schema that the first readable ones infer. All lines are walked: the count is the promise."""
    rows, sample = 0, []
    for _, line in numbered_lines(path):
        rows += 1
        if len(sample) < 1000:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                sample.append(record)
    schema = pa.RecordBatch.from_pylist(sample).schema if sample else pa.schema([])
    return (rows,), pa.schema([spark_field(field) for field in schema])


def spark_field(field: pa.Field) -> pa.Field:
    """The field as Spark holds it: nullable, and types that Spark lacks widened to the next that it has."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    widened = {
        pa.large_string(): pa.string(),
        pa.string_view(): pa.string(),
        pa.large_binary(): pa.binary(),
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
        pa.null(): pa.string(),
    }
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        kind = pa.timestamp("us", kind.tz)
    if pa.types.is_large_list(kind):
        kind = pa.list_(spark_field(kind.value_field))
    return pa.field(field.name, widened.get(kind, kind))


def _common_schema(schemas: list[pa.Schema]) -> pa.Schema | None:
    """The schema that most files have, widened by the columns that only others have; None without files."""
    if not schemas:
        return None
    ((commonest, _),) = Counter(schemas).most_common(1)
    fields = {field.name: field for schema in schemas for field in schema}
    return pa.schema([*commonest, *(field for name, field in fields.items() if name not in commonest.names)])


def _common_json_schema(schemas: list[pa.Schema]) -> pa.Schema | None:
    """One schema for all files' inferred ones: numbers widen, and where types exclude each other the first wins."""
    common: dict[str, pa.Field] = {}
    for field in (field for schema in schemas for field in schema):
        known = common.setdefault(field.name, field)
        try:
            merged = pa.unify_schemas([pa.schema([known]), pa.schema([field])], promote_options="permissive")
        except pa.ArrowTypeError:
            continue  # rows that do not fit are quarantined one by one when they are read
        common[field.name] = merged.field(0)
    return pa.schema(list(common.values())) if schemas else None


def _column_fault(schema: pa.Schema, columns: ColumnsConfig) -> str | None:
    if columns.text not in schema.names:
        return f"no text column {columns.text!r}; columns: {', '.join(schema.names)}; set source.columns.text"
    if schema.field(columns.text).type != pa.string():
        return f"text column {columns.text!r} holds {schema.field(columns.text).type}, not strings"
    if columns.id and columns.id not in schema.names:
        return f"no id column {columns.id!r}; columns: {', '.join(schema.names)}; set source.columns.id"
    return None


def _type_fault(schema: pa.Schema, common: pa.Schema) -> str | None:
    for field in schema:
        if field.type != common.field(field.name).type:
            return f"column {field.name!r} holds {field.type}, in the other files {common.field(field.name).type}"
    return None


def _unusable(config: SourceConfig, broken: list[BrokenFile], readable: list[_Inspected]) -> InputError:
    first = f"{broken[0].name}: {broken[0].detail}" if broken else ""
    if readable:
        first = f"{readable[0].name}: {_column_fault(readable[0].schema, config.columns)}"
    count = len(broken) + len(readable)
    return InputError(f"source.path: none of the {count} files in {config.path} can be scored. {first}")


def _splits(file: _Inspected, format: str) -> list[Split]:
    """One split per row group, so that one large file keeps all slots busy; a JSONL file is one split."""
    firsts = [sum(file.rows[:group]) for group in range(len(file.rows))]
    return [
        Split(
            path=file.path,
            name=file.name,
            version=file.version,
            format=format,
            row_groups=((group, first, rows),),
        )
        for group, (first, rows) in enumerate(zip(firsts, file.rows))
        if rows
    ]
