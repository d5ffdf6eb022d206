"""Packing splits into tasks: every row once, in order, in tasks of like size."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.inspect_file import MOST_PASSES
from tokensieve.jobs.source.listing import list_files
from tokensieve.jobs.source.partitions import LEAST_BYTES, partition_bytes, partitions
from tokensieve.udfs.reading.split import Split, sent_splits, task_table

MB = 2**20


def group(name: str, *, rows: int, text_bytes: int, group: int = 0, first: int = 0) -> Split:
    where = {"path": f"/source/{name}", "name": name, "version": "1-1", "format": "parquet", "group": group}
    return Split(**where, first=first, rows=rows, start=0, end=rows, text_bytes=text_bytes)  # type: ignore[arg-type]


def shares(made: list[tuple[Split, ...]]) -> list[int]:
    return [sum(split.text_bytes for split in task) for task in made]


def test_three_thousand_small_files_and_a_large_one_make_tasks_of_like_size():
    small = [group(f"a-{at:05d}.parquet", rows=20, text_bytes=100_000) for at in range(3_000)]
    large = [
        group("b.parquet", rows=250_000, text_bytes=200 * MB, group=at, first=at * 250_000) for at in range(100)
    ]  # 20 GB
    made = partitions([*small, *large], target_bytes=16 * MB, slots=64)
    assert max(shares(made)) <= 16 * MB
    assert np.median(shares(made)) > 12 * MB
    assert len(made) > 64
    assert sum(shares(made)) == 3_000 * 100_000 + 100 * 200 * MB
    assert [split.name for task in made for split in task][:3_000] == [split.name for split in small]


def test_one_large_row_group_keeps_every_slot_busy():
    made = partitions([group("a.parquet", rows=1_000_000, text_bytes=64 * MB)], target_bytes=16 * MB, slots=4)
    assert len(made) == 4 * 8
    assert max(shares(made)) <= 2 * MB


def test_little_text_is_not_torn_into_tasks_that_cost_more_than_they_score():
    tiny = [group(f"{at}.parquet", rows=5, text_bytes=1_000) for at in range(10)]
    assert len(partitions(tiny, target_bytes=16 * MB, slots=64)) == 1
    assert partition_bytes(10_000, target_bytes=16 * MB, slots=64) == LEAST_BYTES
    assert partitions([], target_bytes=16 * MB, slots=64) == []


def test_a_row_group_is_not_decoded_by_more_tasks_than_a_limit():
    made = partitions([group("a.parquet", rows=10**6, text_bytes=2_000 * MB)], target_bytes=MB, slots=1)
    assert len(made) == MOST_PASSES


def test_a_group_of_few_rows_is_cut_into_no_more_pieces_than_rows():
    made = partitions([group("a.parquet", rows=3, text_bytes=600 * MB)], target_bytes=16 * MB, slots=2)
    assert [[(split.first, split.rows) for split in task] for task in made] == [[(0, 1)], [(1, 1)], [(2, 1)]]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 500), st.integers(0, 5 * MB)), max_size=40),
    target=st.integers(1, 3 * MB),
    slots=st.integers(1, 9),
)
def test_every_row_is_in_one_task_and_order_stays(sizes, target, slots):
    splits, first = [], 0
    for at, (rows, text_bytes) in enumerate(sizes):
        splits.append(group("a.parquet", rows=rows, text_bytes=text_bytes, group=at, first=first))
        first += rows
    made = [split for task in partitions(splits, target_bytes=target, slots=slots) for split in task]
    assert [row for split in made for row in range(split.first, split.first + split.rows)] == list(range(first))
    for split in made:
        assert split.first - splits[split.group].first == split.start
        assert split.end - split.start == split.rows
    assert sum(split.text_bytes for split in made) == sum(size for _, size in sizes)


def test_runs_of_json_lines_that_lie_together_are_read_as_one(tmp_path):
    lines = [b'{"text": "%s"}\n' % (b"word " * 200)] * 1_000
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    listing = list_files(SourceConfig(path=str(tmp_path / "a.jsonl"), format="jsonl"))
    assert len(listing.splits) > 10
    made = partitions(listing.splits, target_bytes=MB // 2, slots=1)
    assert [len(task) for task in made] == [1] * len(made)
    assert len(made) >= 2
    assert all(one[0].end == other[0].start for one, other in pairwise(made))
    assert sum(task[0].rows for task in made) == 1_000


def test_splits_travel_as_rows(tmp_path):
    pq.write_table(pa.table({"text": ["x"] * 7}), tmp_path / "é.parquet", row_group_size=3)
    splits = list_files(SourceConfig(path=str(tmp_path))).splits
    assert [(split.group, split.first, split.rows) for split in splits] == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]
    table = task_table([splits[:2], splits[2:]])
    assert table.column("task").to_pylist() == [0, 1]
    assert list(sent_splits(table.to_batches())) == list(splits)


def test_each_row_of_tasks_lands_in_a_partition_of_its_own(spark):
    from pyspark.sql import functions as F

    from tokensieve.jobs.source.scan import spread

    tasks = [(group(f"{at:04d}.parquet", rows=at + 1, text_bytes=at),) for at in range(300)]
    frame = spread(spark, tasks)
    found = frame.select(F.spark_partition_id().alias("at"), "task", F.col("splits")[0]["name"].alias("name")).collect()
    assert [(row["at"], row["task"], row["name"]) for row in found] == [
        (at, at, f"{at:04d}.parquet") for at in range(300)
    ]
