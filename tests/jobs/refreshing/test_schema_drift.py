"""Twelve ways in which a new shard's columns may differ: what fits is carried, what does not stops that shard alone."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence
from tokensieve.jobs import score
from tokensieve.jobs.tables.quarantine import read_quarantine

pytestmark = pytest.mark.slow

TEXTS = [sentence(at) for at in range(3)]
STOPPED = {
    "text_missing": "no text column 'text'; columns: id, n; set source.columns.text",
    "text_renamed": "no text column 'text'; columns: content, id, n; set source.columns.text",
    "text_other_case": "no text column 'text'; columns: Text, id, n; set source.columns.text",
    "text_number": "text column 'text' holds int64, not strings",
    "text_bytes": "text column 'text' holds binary, not strings",
    "text_list": "text column 'text' holds list<element: string>, not strings",
    "id_number": "column 'id' holds int64, in the other files string",
    "carried_retyped": "column 'n' holds string, in the other files int64",
}
TAKEN = ("new_column", "carried_missing", "order", "text_large_or_dictionary")


def columns(variant: str) -> dict[str, pa.Array]:
    """The columns of a shard that differs in one way from text, id, n."""
    text, n = pa.array(TEXTS), pa.array([1, 2, 3])
    id = pa.array([f"{variant}-{at}" for at in range(3)])
    return {
        "text_missing": {"id": id, "n": n},
        "text_renamed": {"content": text, "id": id, "n": n},
        "text_other_case": {"Text": text, "id": id, "n": n},
        "text_number": {"text": n, "id": id, "n": n},
        "text_bytes": {"text": text.cast(pa.binary()), "id": id, "n": n},
        "text_list": {"text": pa.array([[one] for one in TEXTS]), "id": id, "n": n},
        "id_number": {"text": text, "id": n, "n": n},
        "carried_retyped": {"text": text, "id": id, "n": n.cast(pa.string())},
        "new_column": {"text": text, "id": id, "n": n, "grade": pa.array([0.5, None, 1.0])},
        "carried_missing": {"text": text, "id": id},
        "order": {"n": n, "id": id, "text": text},
        "text_large_or_dictionary": {"text": text.dictionary_encode(), "id": id.cast(pa.large_string()), "n": n},
    }[variant]


def test_columns_that_fit_are_carried_and_others_stop_their_shard_with_a_reason(configure, tmp_path, spark):
    source = tmp_path / "source"
    source.mkdir()
    pq.write_table(pa.table({"text": TEXTS, "id": ["a", "b", "c"], "n": [1, 2, 3]}), source / "first.parquet")
    config = configure("score.quarantine_tolerance=0.9")
    score.run(config, spark)
    variants = (*STOPPED, *TAKEN)
    assert len(variants) == 12
    for variant in variants:
        pq.write_table(pa.table(columns(variant)), source / f"{variant}.parquet")

    done = score.run(config, spark)

    assert done["sources"]["broken"] == {
        f"{variant}.parquet": f"schema_mismatch: {why}" for variant, why in STOPPED.items()
    }
    quarantined = {row["source_file"]: row["detail"] for row in read_quarantine(config.tables, spark).collect()}
    assert quarantined == {f"{variant}.parquet": why for variant, why in STOPPED.items()}
    rows = config.tables.table("scores").read(spark).orderBy("source_file", "source_row").collect()
    assert [row["id"] for row in rows if row["source_row"] == 1] == [
        "carried_missing-1",
        "b",
        "new_column-1",
        "order-1",
        "text_large_or_dictionary-1",
    ]
    assert {row["id"]: (row["n"], row["grade"]) for row in rows if row["source_row"] == 0} == {
        "carried_missing-0": (None, None),
        "a": (1, None),
        "new_column-0": (1, 0.5),
        "order-0": (1, None),
        "text_large_or_dictionary-0": (1, None),
    }
    assert all(row["text"] == TEXTS[row["source_row"]] for row in rows)
