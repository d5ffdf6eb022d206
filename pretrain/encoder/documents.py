"""Documents of one source from Parquet files: texts that the filter lets through, and a count of all the others.

The filter looks at columns of the files themselves, or of a sidecar table that is joined by document id; the sidecar is
held in memory, which suits labels of some million documents.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.errors import DatasetError

BATCH_ROWS = 256
Attributes = Mapping[str, Any]  # a document's row of the columns that decide about it


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Some documents: texts and licences of those to be read; `filtered` and `empty` count those that are not."""

    texts: list[str]
    licenses: list[str]
    filtered: int
    empty: int


def source_files(source: SourceConfig) -> list[Path]:
    """The files that the source's pattern names, sorted. Raises DatasetError where there are none."""
    path = Path(source.path)
    files = sorted(file for file in path.parent.glob(path.name) if file.is_file())
    if not files:
        raise DatasetError(f"source {source.name}: no file matches {source.path}; the current folder is {Path.cwd()}")
    return files


def read_texts(source: SourceConfig) -> Iterator[Texts]:
    """Every row of every file once, in the order of file names, counted in exactly one of the fields.

    Raises:
        DatasetError: a column is missing, a filter's value has another type than its column, a document has no row in
            the sidecar, or two.
    """
    wanted = [*source.where, *source.unless, *([source.license_column] if source.license_column else [])]
    sidecar = _sidecar(source, source.sidecar, wanted) if source.sidecar else None
    columns = [source.text, *(wanted if sidecar is None else [source.id])]
    for path in source_files(source):
        with pq.ParquetFile(path) as file:
            _check_columns(source, path, file.schema_arrow, columns, {} if sidecar else _filters(source))
            for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(columns))):
                rows = batch.to_pylist()
                if sidecar is None:
                    yield _readable(source, rows, rows)
                else:
                    yield _readable(source, rows, [_found(source, sidecar, row[source.id], path) for row in rows])


def _readable(source: SourceConfig, rows: list[dict[str, Any]], attributes: list[Attributes]) -> Texts:
    passed = [(row[source.text], about) for row, about in zip(rows, attributes, strict=True) if _passes(source, about)]
    full = [(text, about) for text, about in passed if text]
    licenses = [about[source.license_column] if source.license_column else source.license for _, about in full]
    return Texts(
        texts=[text for text, _ in full],
        licenses=[license_ or "not stated" for license_ in licenses],
        filtered=len(rows) - len(passed),
        empty=len(passed) - len(full),
    )


def _passes(source: SourceConfig, about: Attributes) -> bool:
    wanted = all(about[column] in values for column, values in source.where.items())
    return wanted and not any(about[column] in values for column, values in source.unless.items())


def _filters(source: SourceConfig) -> dict[str, list[Any]]:
    both = (*source.where.items(), *source.unless.items())
    return {column: [value for name, values in both if name == column for value in values] for column, _ in both}


def _sidecar(source: SourceConfig, path: Path, wanted: list[str]) -> dict[Any, Attributes]:
    if not path.is_file():
        raise DatasetError(f"source {source.name}: sidecar {path} does not exist")
    columns = [source.id, *wanted]
    _check_columns(source, path, pq.read_schema(path), columns, _filters(source))
    rows = pq.read_table(path, columns=list(dict.fromkeys(columns))).to_pylist()
    by_id = {row[source.id]: row for row in rows}
    if len(by_id) < len(rows):
        raise DatasetError(f"source {source.name}: {path} has documents with two rows; keep one of each")
    return by_id


def _found(source: SourceConfig, sidecar: dict[Any, Attributes], name: Any, path: Path) -> Attributes:
    if name not in sidecar:
        raise DatasetError(
            f"source {source.name}: {source.sidecar} has no row for document {name!r} of {path}; add one, since a "
            "document that the filter cannot judge is neither read nor left out silently"
        )
    return sidecar[name]


def _check_columns(
    source: SourceConfig, path: Path, schema: pa.Schema, columns: list[str], filters: dict[str, list[Any]]
) -> None:
    missing = sorted(set(columns) - set(schema.names))
    if missing:
        have = ", ".join(schema.names)
        raise DatasetError(f"source {source.name}: {path} lacks {', '.join(missing)}; it has: {have}")
    for column, values in filters.items():
        try:
            pa.array(values, schema.field(column).type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            kind = schema.field(column).type
            raise DatasetError(
                f"source {source.name}: column {column} of {path} is {kind}, {values} do not fit: {error}"
            ) from None
