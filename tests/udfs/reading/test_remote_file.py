"""Files of an S3 store: read by few requests, checked by ETag, and contention is no damaged file."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.platforms.s3_server import BUCKET
from tokensieve.jobs.config.source import ColumnsConfig, SourceConfig
from tokensieve.jobs.source.listing import find_files, list_files
from tokensieve.udfs.files.storage import StorageConfig, StoreError, open_file_system, version_of
from tokensieve.udfs.reading.parts import Faults, Rows
from tokensieve.udfs.reading.read_shard import read_split
from tokensieve.udfs.reading.remote_file import RemoteFile

TEXTS = [f"text {at} " * 20 for at in range(600)]
LINES = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS)


@pytest.fixture
def source(s3, tmp_path) -> SourceConfig:
    """Two row groups in one file, beside a damaged file and hidden ones."""
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), file, row_group_size=300)
    place, files = f"{BUCKET}/{tmp_path.name}", s3.files()
    files.put_file(str(file), f"{place}/a.parquet")
    damaged = bytearray(file.read_bytes())
    start = pq.ParquetFile(file).metadata.row_group(1).column(0).data_page_offset
    damaged[start : start + 64] = b"\0" * 64
    files.pipe_file(f"{place}/deep/damaged.parquet", bytes(damaged))
    files.pipe_file(f"{place}/_staging/b.parquet", b"")
    files.pipe_file(f"{place}/.c.parquet", b"")
    return SourceConfig(path=f"s3a://{place}", storage=s3.storage())


def read(source: SourceConfig, name: str) -> list[Rows | Faults]:
    listing = list_files(source)
    splits = [split for split in listing.splits if split.name == name]
    return [part for split in splits for part in read_split(split, listing.schema, source.storage)]


def texts(parts: list[Rows | Faults]) -> list[str]:
    return [text for part in parts if isinstance(part, Rows) for text in part.batch.column("text").to_pylist()]


def test_a_listing_tells_versions_by_etag_with_one_request(source, s3):
    s3.counts.clear()
    found = find_files(source)
    assert s3.counts == {"GET": 1}
    info = s3.files().info(f"{source.path.removeprefix('s3a://')}/a.parquet")
    assert found.versions["a.parquet"] == f"{info['size']}-{info['ETag'].strip(chr(34))}"
    assert found.paths == {name: f"{source.path}/{name}" for name in ("a.parquet", "deep/damaged.parquet")}


@pytest.mark.parametrize(
    ("path", "names"),
    [("/*.parquet", ["a.parquet"]), ("/**/d*.parquet", ["deep/damaged.parquet"]), ("/a.parquet", ["a.parquet"])],
)
def test_a_glob_and_a_single_object_are_sources(source, path, names):
    found = find_files(source.model_copy(update={"path": source.path + path}))
    assert (found.root, sorted(found.versions)) == (source.path, names)


def test_a_split_is_read_by_few_requests(source, s3):
    listing = list_files(source)
    split = next(split for split in listing.splits if split.name == "a.parquet")
    s3.counts.clear()
    assert texts(list(read_split(split, listing.schema, source.storage))) == TEXTS[:300]
    assert s3.counts == {"HEAD": 2, "GET": 2}, "version, opened; footer, row group"


def test_a_damaged_page_costs_its_rows_and_names_them(source):
    *rows, fault = read(source, "deep/damaged.parquet")
    assert texts(rows) == TEXTS[:300]
    assert isinstance(fault, Faults)
    assert (fault.reason, fault.rows) == ("corrupt_rows", range(300, 600))


@pytest.mark.parametrize(("suffix", "packed"), [("jsonl", LINES), ("jsonl.gz", gzip.compress(LINES))])
def test_json_lines_come_plain_and_compressed(s3, tmp_path, suffix, packed):
    s3.files().pipe_file(f"{BUCKET}/{tmp_path.name}/a.{suffix}", packed)
    columns = ColumnsConfig(text="text")
    source = SourceConfig(path=f"s3://{BUCKET}/{tmp_path.name}", format="jsonl", columns=columns, storage=s3.storage())
    assert texts(read(source, f"a.{suffix}")) == TEXTS


@pytest.mark.parametrize(
    ("format", "method"), [("parquet", "HEAD"), ("parquet", "GET"), ("jsonl", "GET"), ("jsonl.gz", "GET")]
)
def test_contention_that_stays_is_an_error_and_no_fault_of_the_rows(s3, tmp_path, format, method):
    name, files = f"{BUCKET}/{tmp_path.name}/a.{format}", s3.files()
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "a.parquet")
    data = {"parquet": (tmp_path / "a.parquet").read_bytes(), "jsonl": LINES, "jsonl.gz": gzip.compress(LINES)}
    files.pipe_file(name, data[format])
    kind = "parquet" if format == "parquet" else "jsonl"
    source = SourceConfig(path=f"s3a://{name}", format=kind, storage=s3.storage())
    listing = list_files(source)
    with s3.refusing(lambda asked, path: asked == method), pytest.raises(StoreError, match=f"s3a://{name}: OSError"):
        list(read_split(listing.splits[0], listing.schema, source.storage))
    with s3.refusing(lambda asked, path: asked == method), pytest.raises(StoreError, match="OSError"):
        list_files(source)


def test_contention_for_a_while_costs_nothing(source, s3):
    patient = source.model_copy(update={"storage": s3.storage(attempts=5)})
    every_other = iter(range(1_000))
    with s3.refusing(lambda method, path: next(every_other) % 2 == 0):
        assert texts(read(patient, "a.parquet")) == TEXTS


def test_a_republished_object_and_one_that_is_gone_are_quarantined(source, s3):
    listing, place = list_files(source), source.path.removeprefix("s3a://")
    split = next(split for split in listing.splits if split.name == "a.parquet")
    s3.files().copy(f"{place}/deep/damaged.parquet", f"{place}/a.parquet")
    (changed,) = read_split(split, listing.schema, source.storage)
    s3.files().rm(f"{place}/a.parquet")
    (gone,) = read_split(split, listing.schema, source.storage)
    assert isinstance(changed, Faults)
    assert isinstance(gone, Faults)
    assert (changed.reason, gone.reason) == ("changed_file", "vanished_file")
    assert changed.rows == gone.rows == range(300)


@pytest.mark.parametrize("then", ["replaced", "removed"])
def test_an_object_that_changes_while_it_is_read_is_never_mixed(s3, tmp_path, then):
    name, files = f"{BUCKET}/{tmp_path.name}", s3.files()
    files.pipe_file(name, b"old " * 1_000)
    file = RemoteFile(f"s3a://{name}", s3.storage())
    assert file.read(4) == b"old "
    files.pipe_file(name, b"new " * 1_000) if then == "replaced" else files.rm(name)
    with pytest.raises(StoreError, match="FileExpired" if then == "replaced" else "removed while it was read"):
        file.read(4)


def test_without_an_etag_the_time_of_change_or_the_content_is_the_version():
    system, path = open_file_system("memory://versions/a", StorageConfig())
    system.pipe_file(path, b"12345")
    assert version_of(system, {"name": path, "size": 5, "etag": '"abc"'}) == "5-abc"
    assert version_of(system, {"name": path, "size": 5, "mtime": 17.5}) == "5-17.5"
    assert version_of(system, {"name": path, "size": 5}) == "5-4af3da69f61e14cf26f4c14b6b6bfdb4"
