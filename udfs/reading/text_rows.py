"""What every stage that reads a source asks of its rows: is the text usable, what is the document called, its hash.

Rows are Arrow record batches with the source's columns and `parts.PROVENANCE`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tokensieve.udfs.reading.fault_reasons import INVALID_TEXT, NULL_TEXT
from tokensieve.udfs.scores.stored_scores import flat_bytes


def text_faults(text: pa.Array) -> list[tuple[str, str] | None]:
    """Per row None, or why its text cannot be used: (reason of `udfs.reading.fault_reasons`, detail)."""
    faults: list[tuple[str, str] | None] = [None] * len(text)
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        for at, value in enumerate(text.cast(pa.binary())):
            try:
                (value.as_py() or b"").decode("utf-8")
            except UnicodeDecodeError as error:
                faults[at] = (INVALID_TEXT, str(error))
    for at in np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False)):
        faults[at] = (NULL_TEXT, "the text column is null")
    return faults


def document_ids(rows: pa.RecordBatch, id_column: str | None) -> pa.Array:
    """The source's ids as strings; `made_id` where it has none."""
    places = zip(rows.column("source_file").to_pylist(), rows.column("source_row").to_pylist())
    made = pa.array([made_id(name, row) for name, row in places], pa.string())
    return made if id_column is None else pc.call_function("coalesce", [rows.column(id_column).cast(pa.string()), made])


def made_id(source_file: str, source_row: int) -> str:
    """The id of a document whose source gives none: xxh3-128 of file (below the source's root) and row."""
    return xxhash.xxh3_128_hexdigest(f"{source_file}\0{source_row}".encode())


def text_hashes(text: pa.Array) -> pa.Array:
    """`text_hash` of every text of a column without nulls, of which no Python strings are made."""
    data_B, bounds_D1 = flat_bytes(text)
    bounds, data = bounds_D1.tolist(), data_B.data
    hashes = [xxhash.xxh3_128_hexdigest(data[start:stop]) for start, stop in zip(bounds, bounds[1:])]
    return pa.array(hashes, pa.string())


def text_hash(text: str) -> str:
    """xxh3-128 of the text's UTF-8 bytes, 32 hex digits: what ties scores and labels to the text they are about."""
    return xxhash.xxh3_128_hexdigest(text.encode())
