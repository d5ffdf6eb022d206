"""A refresh with too much in quarantine fails loudly, again and again, until it is repaired, replayed or tolerated."""

import json
import os

import pyarrow as pa
import pytest

from tests.corpora import sentence, write_corpus
from tests.refresh_runs import no_session, put
from tokensieve.jobs import refresh
from tokensieve.jobs.errors import QuarantineError
from tokensieve.jobs.releases.refresh_run import Gate


@pytest.mark.parametrize(
    ("documents", "quarantined", "passes"), [(0, 0, True), (100, 2, True), (100, 3, False), (1, 1, False)]
)
def test_the_share_may_be_as_large_as_the_tolerance(documents, quarantined, passes):
    assert Gate(documents=documents, quarantined=quarantined, tolerance=0.02).passes == passes


@pytest.mark.slow
def test_a_bad_shard_in_a_large_corpus_fails_the_run_until_it_is_repaired(configure, tmp_path, spark):
    write_corpus(tmp_path / "source", files=3, rows=20)
    config = configure("score.quarantine_tolerance=0.05")
    assert refresh.run(config, lambda: spark).release == 1
    bad = pa.table({"text": [None, sentence(1)], "id": ["x", "y"], "dump": ["", ""]})
    put(tmp_path / "source", "new.parquet", bad)
    for _ in range(2):
        with pytest.raises(QuarantineError, match=r"1 of 2 documents .* 50\.00%.* most in new\.parquet \(1\)"):
            refresh.run(config, lambda: spark)
        said = json.loads((tmp_path / "tables" / "refresh.json").read_text())
        assert (said["state"], said["error_kind"], said["exit_code"]) == ("failed", "QuarantineError", 3)
        assert (said["gate"]["documents"], said["gate"]["quarantined"]) == (2, 1)
        assert os.listdir(tmp_path / "tables" / "releases") == ["00000001.json"]
    put(tmp_path / "source", "new.parquet", pa.table({"text": [sentence(2)], "id": ["x"], "dump": [""]}))
    run = refresh.run(config, lambda: spark)
    assert (run.release, run.documents["in"], run.documents["quarantine"]) == (2, 61, 0)


@pytest.mark.slow
def test_a_replay_scores_files_with_faults_again_and_nothing_else(configure, tmp_path, spark):
    write_corpus(tmp_path / "source", files=2)
    name = put(tmp_path / "source", "fault.parquet", pa.table({"text": [None], "id": ["x"], "dump": [""]}))
    config = configure("score.quarantine_tolerance=0.5")
    refresh.run(config, lambda: spark)
    assert refresh.run(config, no_session).state == "nothing_new"
    run = refresh.run(config, lambda: spark, replay=True)
    assert (run.scored, run.sources.rescored, run.release) == ((name,), (name,), 2)
