"""The sample of a dry run: small, spread over the source, the same every time."""

import gzip
import json
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.source import first_rows as sampling
from tokensieve.jobs.source.first_rows import sample, tokens_per_byte
from tokensieve.jobs.source.listing import list_files


def taken(path, format: Literal["parquet", "jsonl"] = "parquet"):
    listing = list_files(SourceConfig(path=str(path), format=format))
    return sample(listing.splits, listing.schema, "text")


def test_first_rows_of_spread_splits_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "TEXT_BYTES", 16 * 50)
    for at in range(40):
        texts = [f"{at:02d}-{row:07d}" for row in range(30)]  # 10 bytes each
        pq.write_table(pa.table({"text": texts}), tmp_path / f"{at:02d}.parquet")
    found = taken(tmp_path)
    texts = found.rows.column("text").to_pylist()
    assert texts[:3] == ["01-0000000", "03-0000000", "06-0000000"]
    assert len(set(found.split_D.tolist())) == 16
    assert 16 <= len(texts) <= 16 * 5
    assert texts == taken(tmp_path).rows.column("text").to_pylist()


def test_texts_that_cannot_be_used_are_passed_over_and_long_ones_cut(tmp_path):
    pq.write_table(pa.table({"text": [None, "é" * 100_000, "b"]}), tmp_path / "a.parquet")
    found = taken(tmp_path)
    assert [len(text) for text in found.rows.column("text").to_pylist()] == [sampling.CUT_CHARACTERS, 1]
    pq.write_table(pa.table({"text": pa.array([None], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="none has a text that can be read"):
        taken(tmp_path)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_of_json_lines_the_share_of_text_is_measured(tmp_path, suffix):
    lines = "".join(json.dumps({"text": "a" * 50, "more": "b" * 42}) + "\n" for _ in range(10))
    data = lines.encode()
    (tmp_path / f"a.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    found = taken(tmp_path, "jsonl")
    assert found.rows.num_rows == 10
    assert found.text_share == pytest.approx(500 / len(data))


def test_the_interval_on_the_tokens_is_that_of_a_ratio():
    bytes_D, one_D = np.array([10, 20, 30]), np.zeros(3, np.int64)
    assert tokens_per_byte(np.array([5, 10, 15]), bytes_D, one_D) == (0.5, 0.0)
    ratio, half = tokens_per_byte(np.array([6, 10, 14]), bytes_D, one_D)
    assert (ratio, half) == (0.5, pytest.approx(1.96 * (2 / 6) ** 0.5 / 20))  # residuals 1, 0, -1
    assert tokens_per_byte(np.array([4]), np.array([8]), np.zeros(1, np.int64)) == (0.5, 0.5), "one document: unknown"
    by_split = tokens_per_byte(np.tile([6, 4], 8), np.full(16, 10), np.repeat(np.arange(8), 2))
    assert by_split == (0.5, 0.0), "eight splits that are alike, however their documents differ"
