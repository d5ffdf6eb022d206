"""Heartbeats of tasks: what they say, that a second attempt replaces the first, that they never stop a task."""

import pyarrow as pa
import pytest

from tests.bundles import random_bundle
from tokensieve.udfs.scoring.heartbeat import Heartbeat, device_name, heartbeat, read_heartbeat, write_heartbeat
from tokensieve.udfs.scoring.meter import Meter, Reading, total
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.score_rows import score_rows
from tokensieve.udfs.scoring.scorer import ScorerSettings

BEAT = Heartbeat(task=3, done=False, device="host cuda:0", began=5.0, at=6.5, reading=Reading(documents=7, busy_s=0.5))


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path):
    write_heartbeat(tmp_path, BEAT)
    assert [file.name for file in tmp_path.iterdir()] == ["task-3.json"]
    assert read_heartbeat(tmp_path / "task-3.json") == BEAT


def test_a_second_attempt_of_a_task_replaces_what_the_first_one_said(tmp_path):
    first, second = Meter(), Meter()
    first.given(documents=9, quarantined=1, text_bytes=90)
    second.given(documents=4, quarantined=0, text_bytes=40)
    with pytest.raises(KeyError), heartbeat(str(tmp_path), 0, "cpu", first):
        raise KeyError("the first attempt dies")
    died = read_heartbeat(tmp_path / "task-0.json")
    assert died is not None
    assert (died.done, died.reading.documents) == (False, 9)
    with heartbeat(str(tmp_path), 0, "cpu", second):
        pass
    (file,) = tmp_path.iterdir()
    beat = read_heartbeat(file)
    assert beat is not None
    assert (beat.task, beat.done, beat.device) == (0, True, device_name("cpu"))
    assert (beat.reading.documents, beat.reading.quarantined, beat.reading.text_bytes) == (4, 0, 40)


def test_a_folder_that_cannot_be_written_to_costs_one_line_in_the_log_and_no_task(tmp_path, caplog):
    with heartbeat(str(tmp_path / "gone"), 5, "cpu", Meter()):
        pass
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "no heartbeat of task 5, scoring goes on"
    ]


def test_without_a_folder_there_is_no_heartbeat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with heartbeat(None, 0, "cpu", Meter()):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"task": 1}', '{"task": 1, "reading": {"unknown": 2}}'])
def test_a_file_that_is_no_heartbeat_is_none(tmp_path, content):
    (tmp_path / "task-1.json").write_text(content)
    assert read_heartbeat(tmp_path / "task-1.json") is None
    assert read_heartbeat(tmp_path / "task-2.json") is None


def test_tasks_are_summed_and_the_smallest_token_budget_is_theirs():
    one = Reading(documents=3, tokens=30, read=40, computed=50, busy_s=1.0, wall_s=2.0, token_budget=2048)
    two = Reading(documents=4, tokens=50, read=60, computed=75, busy_s=2.0, wall_s=2.0, token_budget=1024)
    found = total([one, two, Reading()])
    assert (found.documents, found.tokens, found.token_budget) == (7, 80, 1024)
    assert (found.idle, found.padding) == (0.25, pytest.approx(0.2))
    assert total([]) == Reading()


def test_a_scoring_task_says_what_it_gave_out(tmp_path):
    bundle = random_bundle(tmp_path / "one", seed=1)
    settings = ScorerSettings(bundles=(("p", str(bundle.path), bundle.bundle_id),), device="cpu", dtype="float32")
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    plan = ScorePlan(schema=schema, text="text", id="id", scorer=settings, progress=str(tmp_path), task=2)
    rows = {"id": ["a", "b", "c"], "text": ["plain words", None, "é"]}
    batch = pa.RecordBatch.from_pydict(rows | {"source_file": ["f"] * 3, "source_version": ["v"] * 3})
    list(score_rows(plan, [batch]))
    beat = read_heartbeat(tmp_path / "task-2.json")
    assert beat is not None
    said = beat.reading
    assert (beat.done, said.documents, said.quarantined, said.text_bytes) == (True, 2, 1, len(b"plain words\xc3\xa9"))
    assert said.tokens == said.read == said.settled == said.computed > 0
    assert 0 < said.busy_s <= said.wall_s
    assert said.token_budget == 2048
