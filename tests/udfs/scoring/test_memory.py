"""A scoring task's memory is bounded by its token budget and the largest document. Seen here: in the comments."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bundles import random_bundle
from tests.memory import peak_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")

SCORE = """
import sys
import numpy as np
from tokensieve.jobs.source.inspect_file import inspect
from tokensieve.udfs.reading.split import task_table
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.score_rows import score_splits
from tokensieve.udfs.scoring.scorer import ScorerSettings
path, folder, format, bundle, bundle_id, wanted = sys.argv[1:7]
shard = inspect(path, folder, format, "text")
settings = ScorerSettings(bundles=(("p", bundle, bundle_id),), device="cpu", token_budget=32_768, threads=1)
plan = ScorePlan(schema=shard.schema, text="text", id=None, scorer=settings)
rows = 0
for batch in score_splits(plan, task_table([shard.splits]).to_batches()):
    assert batch.column("reason").null_count == batch.num_rows, batch.column("detail")
    for text, struct in zip(batch.column("text"), batch.column("p")):
        assert sum(struct["token_bytes"].as_buffer()) == len(text.as_buffer())
    rows += batch.num_rows
assert rows == int(wanted), rows
"""
WORDS = "hydroxychloroquine acetylsalicylic electroencephalography "
SHAPE = {"dim": 4, "layers": 1, "heads": 1, "hidden": 4, "reach": 16}
# torch, gigatoken and the modules alone are about 780 MB; a CUDA build of torch is most of that.


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """As small as an encoder can be: it is the rows that cost memory here."""
    return random_bundle(tmp_path_factory.mktemp("memory") / "b", texts=[WORDS], shape=SHAPE, window=(1024, 16))


def peak(path: Path, format: str, bundle, rows: int) -> int:
    return peak_mb(SCORE, path, path.parent, format, bundle.path, bundle.bundle_id, rows)


def long_text(megabytes: int) -> str:
    return WORDS * (megabytes * 2**20 // len(WORDS))


def test_one_long_document_costs_a_few_times_its_text(tmp_path, bundle):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [long_text(32)]}), path)
    assert peak(path, "parquet", bundle, 1) < 1_200  # 970


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_a_document_of_200_mb_on_one_line_is_scored(tmp_path, bundle, format):
    path = tmp_path / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.table({"text": [long_text(200)]}), path)
    else:
        path.write_text(json.dumps({"text": long_text(200)}) + "\n")
    assert peak(path, format, bundle, 1) < 2_600  # Parquet 1,680


@pytest.mark.slow
def test_a_million_documents_of_one_word_are_scored(tmp_path, bundle):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["aspirin"] * 1_000_000}), path)
    assert peak(path, "parquet", bundle, 1_000_000) < 1_200  # 890
