"""A process that dies at the worst moment, two that want the same ledger, a ledger that is damaged."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.claude_project import KEY, Project, canaries, question
from tokensieve.jobs.labelling.claude.client import LedgerError
from tokensieve.jobs.labelling.claude.ledger import Ledger
from tokensieve.jobs.labelling.claude.ledger_file import Entry

# Where a killed process stops: the intent is written and nothing sent, the server has acted and we do not know it, the
# batch is on its way, its results are read and not yet written.
PLACES = {
    "before sending": "from tokensieve.jobs.labelling.claude import batches as at; at._create = die",
    "before the reply": "from tokensieve.jobs.labelling.claude.ledger import Ledger as at; at.arrived = die",
    "while waiting": "from tokensieve.jobs.labelling.claude import batches as at; at.collect_one = die",
    "before settling": "from tokensieve.jobs.labelling.claude.ledger import Ledger as at; at.close_batch = die",
    "never": "pass",
}
CHILD = """
import os, signal, sys
from pathlib import Path
from tests.claude_project import Project, canaries, question
from tests.fake_claude import FakeClaude

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

ledger, url, mode, place = sys.argv[1:]
exec(place)
project = Project(fake=FakeClaude(str, url=url), ledger=Path(ledger))
project.ask([question(f"text {at} forget") for at in range(30)], canaries(5), mode=mode, concurrency=4)
"""


def child(project: Project, mode: str, place: str, repository: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "PYTHONPATH": str(repository)}
    arguments = [sys.executable, "-c", CHILD, str(project.ledger), project.fake.url, mode, PLACES[place]]
    return subprocess.Popen(arguments, env=environment, cwd=repository)


@pytest.mark.parametrize("place", ["before sending", "before the reply", "while waiting", "before settling"])
def test_a_process_killed_around_a_batch_pays_once(project: Project, place: str, repository: Path):
    assert child(project, "batch", place, repository).wait(120) == -signal.SIGKILL
    answers = project.ask([question(f"text {at} forget") for at in range(30)], canaries(5))
    assert [answer.value for answer in answers] == [{"forget": True}] * 30
    assert len(project.fake.batches) == 1
    assert len(project.fake.billed) == 35


def test_a_process_killed_in_direct_calls_loses_no_more_than_were_in_flight(project: Project, repository: Path):
    project.fake.delay = 0.2
    process = child(project, "direct", "never", repository)
    while len(project.fake.billed) < 8:
        time.sleep(0.01)
    process.kill()
    process.wait(60)
    time.sleep(0.3)
    answered = len(project.fake.billed)
    assert answered < 35
    project.fake.delay = 0.0
    answers = project.ask([question(f"text {at} forget") for at in range(30)], canaries(5), mode="direct")
    assert [answer.value for answer in answers] == [{"forget": True}] * 30
    assert 35 <= len(project.fake.billed) <= 39
    lost = len(project.fake.billed) - 35
    if lost:
        assert "direct calls of an earlier run were never answered" in project.lines[0]
    # What was lost counts as spent, at its bound, so the ledger never knows of less than the server bills.
    spent, reserved = sqlite3.connect(project.ledger).execute("select sum(spent), sum(reserved) from item").fetchone()
    billed = sum((prompt * 1.0 + output * 5.0) / 1e6 for _, prompt, output in project.fake.billed)
    assert spent >= billed
    assert reserved == 0


def test_a_second_process_is_told_that_the_ledger_is_in_use(project: Project, repository: Path):
    with Ledger(project.ledger, "somebody", 3):
        with pytest.raises(LedgerError, match="another process is using it; wait for that one, or stop it"):
            project.ask([question("one")])
        process = child(project, "batch", "never", repository)
        assert process.wait(120) == 1
    assert project.fake.calls == []
    assert project.ask([question("one")])[0].state == "done"


def test_a_damaged_ledger_and_one_of_another_version_are_named_errors(project: Project):
    project.ledger.parent.mkdir()
    project.ledger.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match=r"claude.sqlite: the ledger cannot be opened: file is not a database"):
        project.ask([question("one")])
    project.ledger.unlink()
    sqlite3.connect(project.ledger).execute("pragma user_version = 7").connection.close()
    with pytest.raises(LedgerError, match="it is of version 7, this program writes version 1"):
        project.ask([question("one")])


def test_a_change_that_breaks_off_leaves_nothing_behind(project: Project):
    with Ledger(project.ledger, "somebody", 3) as book:
        book.want(["a", "b"])
        book.add({"a": "p/1", "b": "p/1"})
        twice = Entry(key="canary", prompt="p/1", expected="true")
        with pytest.raises(sqlite3.IntegrityError):
            book.intend("batch", "batch", [Entry(key="a", prompt="p/1", reserved=1.0), twice, twice])
        assert (book.members("batch"), book.money()) == ({}, (0.0, 0.0))
        assert book.states() == {"todo": 2}


def test_what_another_verb_left_under_way_keeps_its_reservation_and_is_not_waited_for(project: Project, texts):
    project.fake.polls_to_end = None
    with pytest.raises(Exception, match="patience"):
        project.ask([question(text, "sentence/1") for text in texts], patience_hours=0.00001)
    left = project.fake.batches["msgbatch_000001"]
    project.fake.polls_to_end = 1
    left.polls = -1000
    project.ask([question(text) for text in texts])
    with Ledger(project.ledger, "somebody", 3) as book:
        assert book.money()[1] > 0
    left.polls = 1
    assert {one.state for one in project.ask([question(text, "sentence/1") for text in texts])} == {"done"}
    assert len(project.fake.batches) == 2


def test_a_question_to_a_labeller_of_other_effort_is_another_question(project: Project):
    project.ask([question("one")])
    project.ask([question("one")], effort="low")
    assert [batch.requests[0]["params"]["output_config"].get("effort") for batch in project.fake.batches.values()] == [
        None,
        "low",
    ]


def test_the_ledger_holds_counts_that_a_person_can_read(project: Project, texts):
    project.ask([question(text) for text in texts], canaries(5))
    rows = sqlite3.connect(project.ledger).execute(
        "select prompt, state, expected is not null, count(*), sum(attempts), sum(input_tokens) > 0 from item "
        "group by 1, 2, 3 order by 3"
    )
    assert rows.fetchall() == [("document/1", "done", 0, 30, 30, 1), ("document/1", "done", 1, 5, 5, 1)]
    assert canaries(1)[0].expected == {"forget": True}
