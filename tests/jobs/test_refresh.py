"""The verb `refresh` on a small corpus: which steps run, what is released, what a refresh says."""

import json
import os
from datetime import UTC, datetime

import pytest

from tests.corpora import write_corpus
from tests.refresh_runs import no_session
from tokensieve.jobs import refresh
from tokensieve.jobs.errors import BusyError, InputError
from tokensieve.jobs.tables.lock import locked


def said(tmp_path) -> dict:
    return json.loads((tmp_path / "tables" / "refresh.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_the_first_run_does_everything_the_second_nothing_and_a_third_what_is_new(format, configure, tmp_path, spark):
    write_corpus(tmp_path / "source", files=2)
    config = configure(f"tables.format={format}")
    run = refresh.run(config, lambda: spark)
    assert (run.state, run.release, run.previous) == ("done", 1, None)
    assert run.ran == ("score", "mask", "export", "release", "report")
    assert run.scored == run.sources.new == ("part-00000.parquet", "part-00001.parquet")
    assert (run.documents["in"], run.documents["quarantine"]) == (24, 0)
    assert run.device is not None
    assert run.device.device_s > 0

    idle = refresh.run(config, no_session)
    assert (idle.state, idle.release, idle.ran, idle.scored, idle.sources.kept) == ("nothing_new", 1, (), (), 2)
    assert (said(tmp_path)["state"], said(tmp_path)["release"]) == ("nothing_new", 1)
    assert idle.documents == run.documents

    os.utime(tmp_path / "source" / "part-00001.parquet")
    write_corpus(tmp_path / "source", files=1)
    touched = refresh.run(config, lambda: spark)
    assert touched.scored == touched.sources.changed == ("part-00000.parquet", "part-00001.parquet")
    assert touched.documents == run.documents

    other = configure(f"tables.format={format}", "export.pad_vocabulary_to=512")
    shards = refresh.run(other, lambda: spark)
    assert (shards.ran, shards.release) == (("export", "release", "report"), 3)
    assert refresh.run(other, no_session).state == "nothing_new"


def test_a_run_that_fails_says_so_in_refresh_json(configure, tmp_path):
    before = datetime.now(UTC)
    with pytest.raises(InputError, match=r"source\.path: .* does not exist"):
        refresh.run(configure(), no_session)
    told = said(tmp_path)
    assert (told["state"], told["error_kind"], told["exit_code"], told["release"]) == ("failed", "InputError", 2, None)
    assert "source.path" in told["error"]
    assert datetime.fromisoformat(told["started_at"]) >= before


def test_a_run_that_finds_the_lock_taken_leaves_refresh_json_to_the_holder(configure, tmp_path):
    write_corpus(tmp_path / "source")
    config = configure()
    with locked(config.tables.store, 300, "refresh"), pytest.raises(BusyError, match="wait until it is done"):
        refresh.run(config, no_session)
    assert not (tmp_path / "tables" / "refresh.json").exists()
