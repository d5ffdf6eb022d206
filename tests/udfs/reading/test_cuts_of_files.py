"""Whatever the cuts, every row of a file is read once, and a damaged part costs the same rows."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.jobs.source.inspect_file import Shard, inspect
from tokensieve.jobs.source.partitions import partitions
from tokensieve.udfs.reading import line_marks
from tokensieve.udfs.reading.json_lines import numbered_lines
from tokensieve.udfs.reading.parts import Faults
from tokensieve.udfs.reading.read_shard import read_split
from tokensieve.udfs.reading.split import Split

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.int64())])
LINES = [b"{}", b" ", b"", b"\t{}", b'{"text": "x"}', b"\r", b"nonsense", b"\xff", b"x" * 30]

Read = dict[int, str | None]


def splits_of(path: Path, format: str) -> tuple[Split, ...]:
    looked = inspect(str(path), str(path.parent), format, "text")
    assert isinstance(looked, Shard)
    return looked.splits


def read(splits: list[Split], schema: pa.Schema = SCHEMA) -> Read:
    """Row number to text, or to nothing where it was a fault. Fails when a row comes twice."""
    found: Read = {}
    for part in (part for split in splits for part in read_split(split, schema)):
        if isinstance(part, Faults):
            rows: list[tuple[int, str | None]] = [(row, None) for row in part.rows]
        else:
            columns = part.batch.select(["source_row", "text"]).to_pydict()
            rows = list(zip(columns["source_row"], columns["text"]))
        assert not found.keys() & {row for row, _ in rows}
        found |= dict(rows)
    return found


def cut(splits: tuple[Split, ...], target_bytes: int) -> list[Split]:
    made = partitions(splits, target_bytes=target_bytes, slots=1)
    return [split for task in made for split in task]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r\n"])), max_size=30),
    tail=st.sampled_from([b"", b"tail", b"  "]),
    block=st.integers(1, 50),
    every=st.integers(1, 40),
    most=st.sampled_from([2, 4, 100]),
)
def test_marks_cut_a_file_at_lines_with_their_numbers(tmp_path_factory, lines, tail, block, every, most):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(b"".join(line + end for line, end in lines) + tail)
    old = line_marks.BLOCK_BYTES, line_marks.MARK_BYTES
    try:
        line_marks.BLOCK_BYTES, line_marks.MARK_BYTES = block, every
        marks = line_marks.line_marks(str(path), most)
    finally:
        line_marks.BLOCK_BYTES, line_marks.MARK_BYTES = old
    ends = list(zip(marks.bytes_M1.tolist(), marks.lines_M1.tolist(), marks.rows_M1.tolist()))
    parts = [
        list(numbered_lines(str(path), line, start, stop)) for (start, line, _), (stop, _, _) in zip(ends, ends[1:])
    ]
    assert len(ends) - 1 <= most
    assert ends[-1][0] == path.stat().st_size
    assert [len(part) for part in parts] == [after[2] - before[2] for before, after in zip(ends, ends[1:])]
    assert [line for part in parts for line in part] == list(numbered_lines(str(path)))


def json_file(path: Path) -> Path:
    """2,000 lines, some of them blank or malformed."""
    drawn = random.Random(3)
    odd = ["", "   ", '{"text": "cut', "[]", '{"text": "\\ud800", "n": 1}', '{"other": 1}', '{"n": "x", "text": "y"}']
    good = (json.dumps({"text": f"line {n} " * drawn.randrange(60), "n": n}) for n in range(2_000))
    lines = [drawn.choice(odd) if n and drawn.random() < 0.1 else line for n, line in enumerate(good)]
    data = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_every_json_line_is_read_once_from_any_cuts_plain_or_compressed(tmp_path):
    plain, packed = json_file(tmp_path / "a.jsonl"), json_file(tmp_path / "a.jsonl.gz")
    whole = read(cut(splits_of(plain, "jsonl"), 2**30))
    assert sum(split.rows for split in splits_of(plain, "jsonl")) == len(whole)
    assert sum(text is None for text in whole.values()) > 100
    for path in (plain, packed):
        splits = cut(splits_of(path, "jsonl"), 2**16)
        assert len(splits) > 5
        assert read(splits) == whole
        assert [list(read([split])) for split in splits] == [list(read([split])) for split in splits]


def parquet_file(path: Path) -> Path:
    texts = [f"text {n} " * (n % 50) for n in range(4_000)]
    table = pa.table({"text": texts, "n": range(4_000)}, schema=SCHEMA)
    options = {"compression": "none", "use_dictionary": False, "data_page_size": 4_096, "write_batch_size": 64}
    pq.write_table(table, path, row_group_size=3_000, **options)
    return path


def test_every_row_of_a_row_group_is_read_once_from_any_cuts(tmp_path):
    path = parquet_file(tmp_path / "a.parquet")
    splits = splits_of(path, "parquet")
    assert len(splits) == 2
    for target in (2**30, 2**17, 2**14):
        pieces = cut(splits, target)
        assert read(pieces) == {n: f"text {n} " * (n % 50) for n in range(4_000)}
    assert len(pieces) > 30


def test_a_corrupt_page_costs_the_same_rows_whatever_the_cuts(tmp_path):
    path = parquet_file(tmp_path / "a.parquet")
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    # A text's length, in a page in the middle of the column chunk, that leads out of the page.
    at = data.index(b"text 1525 ") - 4
    assert column.data_page_offset < at < column.data_page_offset + column.total_compressed_size
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    splits = splits_of(path, "parquet")
    whole = read(list(splits))
    lost = [row for row, text in whole.items() if text is None]
    assert lost == list(range(min(lost), 3_000))
    assert 1_525 - 512 < min(lost) <= 1_525
    assert read(cut(splits, 2**14)) == whole


def test_a_task_that_runs_again_reads_equal_batches(tmp_path):
    for split in cut(splits_of(parquet_file(tmp_path / "a.parquet"), "parquet"), 2**14):
        assert list(read_split(split, SCHEMA)) == list(read_split(split, SCHEMA))
