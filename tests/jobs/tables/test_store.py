"""Stores: the same promises on a disk and on S3, above all that of two writers of one name only one is heard."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.platforms.s3_server import BUCKET
from tokensieve.jobs.errors import BusyError, ConfigError, StorageError
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.lock import alone, locked
from tokensieve.jobs.tables.object_store import ObjectStore
from tokensieve.jobs.tables.open_store import open_store
from tokensieve.jobs.tables.store import LocalStore, Store
from tokensieve.udfs.files.storage import StorageConfig


@pytest.fixture(params=["disk", "s3"])
def store(request, tmp_path: Path) -> Store:
    if request.param == "disk":
        return LocalStore(tmp_path)
    return open_store(f"s3a://{BUCKET}/{tmp_path.name}/tables", request.getfixturevalue("s3").storage())


def test_of_many_writers_of_one_name_one_is_heard(store):
    contents = [f"writer {at}".encode() for at in range(16)]
    with ThreadPoolExecutor(16) as pool:
        created = list(pool.map(lambda content: store.create("t/_commits/00000000.json", content), contents))
    assert sum(created) == 1
    assert store.read("t/_commits/00000000.json") == contents[created.index(True)]
    assert store.create("t/_commits/00000001.json", b"the next")


def test_files_are_put_listed_and_removed(store):
    assert store.names() == []
    store.write("a/one.json", b"1")
    store.write("a/one.json", b"22")
    store.write("a/deep/two.json", b"333")
    assert store.read("a/one.json") == b"22"
    assert (store.names(), store.names("a"), store.names("b")) == (["a"], ["deep", "one.json"], [])
    assert store.sizes("a") == {"one.json": 2}
    assert [store.exists(name) for name in ("a", "a/one.json", "a/deep", "a/on")] == [True, True, True, False]
    store.delete("a/deep")
    store.delete("a/deep")
    assert store.names("a") == ["one.json"]
    with pytest.raises(FileNotFoundError):
        store.read("a/deep/two.json")


def test_the_lock_of_a_refresh_holds_on_a_store(store):
    with locked(store, 300, "refresh"), pytest.raises(BusyError), locked(store, 300, "refresh"):
        raise AssertionError("two hold it")
    with locked(store, 300, "refresh"):
        assert store.names("_locks") != []


def test_writers_of_delta_on_s3_exclude_each_other_as_its_connector_does_not(s3, tmp_path):
    root = f"s3a://{BUCKET}/{tmp_path.name}/tables"
    delta = TablesConfig(root=root, format="delta", storage=s3.storage())
    with alone(delta, "score"):
        with pytest.raises(BusyError, match="score"), alone(delta, "mask"):
            raise AssertionError("two write")
        with alone(delta, "report"), alone(TablesConfig(root=root, storage=s3.storage()), "mask"):
            pass  # reads, and Parquet, whose commits exclude each other


def test_a_store_that_ignores_the_condition_is_refused(s3, tmp_path, monkeypatch):
    store = ObjectStore(f"s3a://{BUCKET}/{tmp_path.name}", s3.storage())
    put = store._system.pipe_file
    monkeypatch.setattr(store._system, "pipe_file", lambda path, data, mode="overwrite": put(path, data))
    with pytest.raises(ConfigError, match="ignores the condition of a put-if-absent"):
        store.create("t/_commits/00000000.json", b"")
    assert store.names() == []


def test_a_conflict_that_s3_cannot_decide_yet_is_asked_again(s3, tmp_path):
    store = ObjectStore(f"s3a://{BUCKET}/{tmp_path.name}", s3.storage())
    assert store.create("first", b"")
    undecided = iter([True, True, False])
    conflict = b"<Error><Code>ConditionalRequestConflict</Code><Message>Another write is under way.</Message></Error>"
    with s3.refusing(lambda method, path: method == "PUT" and next(undecided, False), "409 Conflict", conflict):
        assert store.create("second", b"2")
    assert store.read("second") == b"2"


def test_a_store_that_does_not_answer_is_named_and_is_an_os_error(s3, tmp_path):
    store = ObjectStore(f"s3a://{BUCKET}/{tmp_path.name}", s3.storage())
    with (
        s3.refusing(lambda method, path: True),
        pytest.raises(StorageError, match=rf"s3a://{BUCKET}/.*/a.json: OSError") as told,
    ):
        store.read("a.json")
    assert isinstance(told.value, OSError)
    assert told.value.exit_code == 1


def test_a_bucket_that_is_not_there_is_named(s3):
    store = ObjectStore("s3a://no-such-bucket/tables", s3.storage())
    assert store.names() == []
    with pytest.raises(ConfigError, match="make the bucket, or name another"):
        store.create("a.json", b"")


def test_what_cannot_commit_or_be_reached_is_refused():
    with pytest.raises(ConfigError, match="hdfs:// has no put-if-absent that we know"):
        open_store("hdfs://cluster/tables")
    with pytest.raises(ConfigError, match="endpoint is for S3 only"):
        open_store("gs://bucket/tables", StorageConfig(endpoint="http://127.0.0.1:9"))
    with pytest.raises(ConfigError, match="this needs a local or mounted folder"):
        open_store("s3a://bucket/tables").path()
