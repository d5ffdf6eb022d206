"""What the doctor says of a source and a root on an object store."""

import pytest

from tests.platforms.s3_server import BUCKET
from tokensieve.jobs.doctor import check_places


@pytest.fixture
def on_s3(s3, configure, tmp_path):
    """Makes a configuration whose source and root are below one prefix of the bucket."""

    def make(*overrides: str):
        place = f"s3a://{BUCKET}/{tmp_path.name}"
        places = [f"source.path={place}/source", f"tables.root={place}/tables", *s3.overrides("source", "tables")]
        return configure(*places, *overrides)

    return make


def found(config) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.ok, check.found) for check in check_places(config)}


def test_a_source_and_a_root_on_s3_are_tried_out(on_s3, s3, tmp_path):
    s3.files().pipe_file(f"{BUCKET}/{tmp_path.name}/source/a.parquet", b"x" * 2_000_000)
    config = on_s3("export.folder=/data/shards")
    checks = found(config)
    assert checks["source"] == (True, f"s3a://{BUCKET}/{tmp_path.name}/source, 2.0 MB")
    assert checks["tables.root"] == (True, f"{config.tables.root} can be written, and holds put-if-absent")
    assert checks["export.folder"] == (True, "/data/shards")
    assert config.tables.store.names() == [], "nothing stays behind"


def test_what_is_not_there_and_what_does_not_answer_is_named(on_s3, s3):
    assert found(on_s3())["source"][0] is False
    assert found(on_s3())["export.folder"] == (False, "not set")
    assert "make the bucket" in found(on_s3("tables.root=s3a://no-such-bucket/x"))["tables.root"][1]
    config = on_s3("source.storage.attempts=1", "tables.storage.attempts=1")
    with s3.refusing(lambda method, path: True):
        checks = found(config)
    assert [name for name, (ok, said) in checks.items() if not ok and "OSError" in said] == ["source", "tables.root"]
