"""Reading and tokenizing take a bounded amount of memory, whatever the documents are."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.memory import peak_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")

READ = """
import sys
from tokensieve.jobs.source.partitions import partitions
from tokensieve.jobs.source.inspect_file import inspect
from tokensieve.udfs.reading.read_shard import Rows, read_split
path, folder, format, wanted = sys.argv[1:5]
shard = inspect(path, folder, format, "text")
rows = batches = 0
tasks = partitions(shard.splits, target_bytes=2**24, slots=1)
for part in (part for task in tasks for split in task for part in read_split(split, shard.schema)):
    assert isinstance(part, Rows), part.detail
    rows += part.batch.num_rows
    batches += 1
    use(part.batch.column("text"))
assert rows == int(wanted), rows
"""
COUNT = "from pyarrow.compute import binary_length\ndef use(text):\n    binary_length(text)\n"
TOKENIZE = """
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer
tokenizer = ByteTokenizer.load("conf/classifiers/medicine-tiny", BACKEND)
def use(text):
    tokens = tokenizer.encode(text)
    assert not tokens.failed, tokens.failed
    assert tokens.bytes_T.sum() == sum(len(one.as_py().encode()) for one in text)
"""
# pyarrow and the modules alone are about 100 MB, gigatoken about 100 more.


def one_row_group(path: Path, documents: int, text: str) -> Path:
    """A file whose single row group holds so many copies of a text, none of them compressed away."""
    chunk = pa.array([text] * 1_000)
    table = pa.table({"text": pa.chunked_array([chunk] * (documents // 1_000))})
    pq.write_table(table, path, row_group_size=documents, compression="none", use_dictionary=False)
    assert pq.read_metadata(path).num_row_groups == 1
    return path


def long_text(megabytes: int) -> str:
    return "The patient took aspirin, 25 mg a day, and ibuprofen.\n" * (megabytes * 2**20 // 55)


def test_a_large_row_group_is_not_read_whole(tmp_path):
    path = one_row_group(tmp_path / "a.parquet", 100_000, "word " * 600)
    assert path.stat().st_size > 270 * 2**20
    assert peak_mb(COUNT + READ, path, tmp_path, "parquet", 100_000) < 300


@pytest.mark.slow
def test_a_row_group_of_two_gigabytes_is_not_read_whole(tmp_path):
    path = one_row_group(tmp_path / "a.parquet", 700_000, "word " * 600)
    assert peak_mb(COUNT + READ, path, tmp_path, "parquet", 700_000) < 300


@pytest.mark.slow
@pytest.mark.parametrize(("format", "backend"), [("parquet", "auto"), ("jsonl", "auto"), ("parquet", "tiktoken")])
def test_a_document_of_200_megabytes_is_read_and_tokenized(tmp_path, format, backend):
    text, path = long_text(200), tmp_path / f"a.{format}"
    if format == "jsonl":
        path.write_text(json.dumps({"text": text}))
    else:
        pq.write_table(pa.table({"text": [text]}), path)
    program = TOKENIZE.replace("BACKEND", repr(backend)) + READ  # 61 million tokens, 490 MB of them
    assert peak_mb(program, path, tmp_path, format, 1) < 2_500


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_a_million_documents_of_one_word_are_read_and_tokenized(tmp_path, format):
    path = tmp_path / f"a.{format}"
    if format == "jsonl":
        path.write_text('{"text": "aspirin"}\n' * 1_000_000)
    else:
        pq.write_table(pa.table({"text": ["aspirin"] * 1_000_000}), path)
    program = TOKENIZE.replace("BACKEND", "'auto'") + READ + "assert batches < 200, batches\n"
    assert peak_mb(program, path, tmp_path, format, 1_000_000) < 400
