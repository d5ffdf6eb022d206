"""The driver's view of a folder of heartbeats: the line, the JSON lines, and what is left on the disk."""

import io
import json
from pathlib import Path

import pytest

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.watch import Watch, watch_scoring
from tokensieve.jobs.source.listing import Work
from tokensieve.jobs.tables.store import LocalStore
from tokensieve.udfs.scoring.heartbeat import Heartbeat, write_heartbeat
from tokensieve.udfs.scoring.meter import Reading

WORK = Work(documents=10, text_bytes=100)


def say(folder: Path, task: int, documents: int, done: bool = False) -> None:
    reading = Reading(
        documents=documents, text_bytes=10 * documents, tokens=documents, read=documents, settled=documents
    )
    write_heartbeat(folder, Heartbeat(task=task, done=done, device="host cpu 1", began=0.0, at=1.0, reading=reading))


def test_a_line_and_a_json_line_follow_the_heartbeats_and_a_second_attempt_counts_once(tmp_path):
    lines = io.StringIO()
    watch = Watch(tmp_path, WORK, lines)
    watch.look(1.0)
    assert watch.line() is None, "no task has begun"
    say(tmp_path, 0, 4)
    say(tmp_path, 1, 3)
    (tmp_path / "task-2.json").write_text("{half")
    assert watch.look(2.0).documents == 7
    assert (watch.line() or "").startswith("score: 70.0% of 10 documents, ETA unknown, 7 scored")
    say(tmp_path, 0, 1)
    assert watch.look(3.0, "score: read and score").documents == 4
    say(tmp_path, 0, 7, done=True)
    assert watch.look(4.0).share == 1
    assert watch.line() is None, "what follows is told by Spark's tasks"
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(one["seconds"], one["documents"], one["step"]) for one in said] == [
        (1.0, 0, None), (2.0, 7, None), (3.0, 4, "score: read and score"), (4.0, 10, None),
    ]  # fmt: skip


def test_lines_that_cannot_be_written_end_and_the_run_goes_on(tmp_path, caplog):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("no space left on device")

    watch = Watch(tmp_path, WORK, Full())
    assert [watch.look(now).documents for now in (1.0, 2.0)] == [0, 0]
    assert len(caplog.records) == 1


def test_a_run_leaves_its_json_lines_and_sweeps_what_killed_runs_left(tmp_path):
    (tmp_path / "_progress" / "run-killed").mkdir(parents=True)
    with watch_scoring(LocalStore(tmp_path), WORK, None) as watch:
        assert watch is not None
        say(watch.folder, 0, 10, done=True)
    assert [path.name for path in (tmp_path / "_progress").iterdir()] == ["score.jsonl"]
    last = json.loads((tmp_path / "_progress" / "score.jsonl").read_text().splitlines()[-1])
    assert (last["documents"], last["share"]) == (10, 1.0)
    assert watch.device()["devices"] == 1


def test_json_lines_go_where_the_configuration_says_or_the_run_does_not_begin(tmp_path):
    with watch_scoring(LocalStore(tmp_path), WORK, str(tmp_path / "lines.jsonl")):
        pass
    assert list((tmp_path / "_progress").iterdir()) == []
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == 1
    with (
        pytest.raises(ConfigError, match=r"score.progress_json: .*cannot be written"),
        watch_scoring(LocalStore(tmp_path), WORK, str(tmp_path / "no" / "folder")),
    ):
        pass
