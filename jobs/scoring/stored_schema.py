"""A schema as text in a commit: Arrow's own IPC message, for no other form keeps every type."""

import base64

import pyarrow as pa


def to_text(schema: pa.Schema) -> str:
    """Base64 of the schema's IPC message, without metadata."""
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()


def from_text(text: str) -> pa.Schema:
    """The schema of `to_text`."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
