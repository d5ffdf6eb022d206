"""One schema for many files: what Spark can hold, what most of them have, and which files do not fit.

A commit keeps it as text: Arrow's own IPC message, for no other form keeps every type.
"""

import base64
from collections import Counter

import pyarrow as pa

from tokensieve.jobs.config.source import ColumnsConfig


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


def common_schema(schemas: list[pa.Schema], settled: pa.Schema | None = None) -> pa.Schema | None:
    """The schema that most files have, widened by the columns that only others have; None without files.

    `settled` stands in the place of the commonest where a table has rows already.
    """
    if settled is None and not schemas:
        return None
    commonest = Counter(schemas).most_common(1)[0][0] if settled is None else settled
    return _widened(commonest, schemas)


def common_json_schema(schemas: list[pa.Schema], settled: pa.Schema | None = None) -> pa.Schema | None:
    """One schema for all files' inferred ones: numbers widen, and where types exclude each other the first wins.

    The types of `settled` stay: rows of a table were written with them.
    """
    common: dict[str, pa.Field] = {}
    for field in (field for schema in dict.fromkeys(schemas) for field in schema):
        known = common.setdefault(field.name, field)
        try:
            merged = pa.unify_schemas([pa.schema([known]), pa.schema([field])], promote_options="permissive")
        except pa.ArrowTypeError:
            continue  # rows that do not fit are quarantined one by one when they are read
        common[field.name] = merged.field(0)
    made = pa.schema(list(common.values())) if schemas else None
    return made if settled is None else _widened(settled, schemas if made is None else [made])


def _widened(first: pa.Schema, others: list[pa.Schema]) -> pa.Schema:
    """`first`, and behind it the columns that only others have."""
    fields = {field.name: field for schema in dict.fromkeys(others) for field in schema}
    return pa.schema([*first, *(field for name, field in fields.items() if name not in first.names)])


def column_fault(schema: pa.Schema, columns: ColumnsConfig) -> str | None:
    """Why a file with this schema cannot be scored at all; None if it can."""
    if columns.text not in schema.names:
        return f"no text column {columns.text!r}; columns: {', '.join(schema.names)}; set source.columns.text"
    if schema.field(columns.text).type != pa.string():
        return f"text column {columns.text!r} holds {schema.field(columns.text).type}, not strings"
    if columns.id and columns.id not in schema.names:
        return f"no id column {columns.id!r}; columns: {', '.join(schema.names)}; set source.columns.id"
    return None


def type_fault(schema: pa.Schema, common: pa.Schema) -> str | None:
    """The first column whose type is not that of the common schema; None if there is none."""
    for field in schema:
        if field.type != common.field(field.name).type:
            return f"column {field.name!r} holds {field.type}, in the other files {common.field(field.name).type}"
    return None


def to_text(schema: pa.Schema) -> str:
    """Base64 of the schema's IPC message, without metadata."""
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()


def from_text(text: str) -> pa.Schema:
    """The schema of `to_text`."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
