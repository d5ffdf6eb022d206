"""Direct calls, with the real client over a real socket."""

import json
import sqlite3

import pytest

from tests.claude_project import KEY, Project, canaries, honest, question, text_of
from tests.fake_claude import ERRORED, REFUSAL
from tests.fake_claude_http import CUT_AFTER, CUT_BEFORE
from tokensieve.jobs.labelling.claude.client import ApiError

CALL = "POST /v1/messages"


def test_direct_calls_answer_in_order_with_no_more_at_a_time_than_allowed(project: Project, texts):
    project.fake.delay = 0.02
    answers = project.ask([question(text) for text in texts], canaries(5), mode="direct", concurrency=4)
    assert [answer.value for answer in answers] == [{"forget": at % 3 == 0} for at in range(30)]
    assert project.fake.peak == 4
    assert project.fake.count(CALL) == 35
    assert not project.fake.batches


def test_running_again_makes_no_call(project: Project, texts):
    requests = [question(text) for text in texts]
    first = project.ask(requests, mode="direct")
    assert project.ask(requests, mode="direct") == first
    assert project.ask(requests, mode="batch") == first
    assert len(project.fake.calls) == 30


def test_auto_takes_direct_calls_for_few_requests_and_batches_for_many(project: Project, texts):
    project.ask([question(text) for text in texts[:9]], mode="auto", direct_below=10)
    assert (project.fake.count(CALL), len(project.fake.batches)) == (9, 0)
    project.ask([question(text) for text in texts], mode="auto", direct_below=10)
    assert (project.fake.count(CALL), len(project.fake.batches)) == (9, 1)


def test_rate_limit_and_overload_are_waited_out_and_cost_one_answer_each(project: Project):
    project.fake.script(CALL, 429, 529, 500)
    assert project.ask([question("one")], mode="direct", concurrency=1)[0].state == "done"
    assert project.fake.count(CALL) == 4
    assert len(project.fake.billed) == 1


@pytest.mark.parametrize("cut", [CUT_BEFORE, CUT_AFTER])
def test_a_lost_reply_counts_as_paid_and_is_asked_again(project: Project, cut: str):
    project.ask([question("before")], mode="direct")
    before = spent(project)
    project.fake.script(CALL, cut)
    assert project.ask([question("one")], mode="direct")[0].state == "done"
    assert project.fake.count(CALL) == 3
    # The bound of the lost call: 400 tokens of frame and one for each of its 139 bytes, 20 tokens out.
    request = question("one")
    assert len((request.system + request.user).encode()) + len(json.dumps(request.schema)) == 139
    assert spent(project) - before > (539 * 1.0 + 20 * 5.0) / 1e6


def test_a_connection_that_breaks_again_and_again_stops_the_run(project: Project, texts):
    project.fake.script(CALL, *[CUT_BEFORE] * 30)
    with pytest.raises(ApiError, match="cannot be reached"):
        project.ask([question(text) for text in texts], mode="direct", concurrency=1)
    assert project.fake.count(CALL) == 5
    project.fake.faults.clear()
    assert {one.state for one in project.ask([question(text) for text in texts], mode="direct")} == {"done"}


def test_an_expired_key_is_a_named_error_after_one_round_of_calls(project: Project, texts, monkeypatch):
    project.fake.key = "another"
    with pytest.raises(ApiError, match=r"status 401 .* ANTHROPIC_API_KEY is wrong or has expired"):
        project.ask([question(text) for text in texts], mode="direct", concurrency=3)
    assert project.fake.count(CALL) <= 3
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    assert {one.state for one in project.ask([question(text) for text in texts], mode="direct")} == {"done"}
    assert sorted(project.sent()[-30:]) == sorted(texts)


def test_a_request_that_the_api_refuses_fails_alone(project: Project, texts):
    project.fake.answer = lambda params: {texts[0]: ERRORED, texts[3]: REFUSAL}.get(text_of(params), honest(params))
    answers = project.ask([question(text) for text in texts], mode="direct", max_attempts=1)
    assert [answer.state for answer in answers] == ["failed", "done", "done", "refused", *["done"] * 26]
    assert "errored" in answers[0].detail


def test_when_the_api_refuses_everything_the_run_stops(project: Project, texts):
    project.fake.answer = lambda params: ERRORED
    with pytest.raises(ApiError, match="refused each of 30 requests"):
        project.ask([question(text) for text in texts], mode="direct")
    assert project.fake.count(CALL) == 30


def test_a_batch_under_way_is_collected_before_direct_calls_are_made(project: Project, texts):
    project.fake.polls_to_end = None
    with pytest.raises(Exception, match="patience"):
        project.ask([question(text) for text in texts[:20]], patience_hours=0.00001)
    project.fake.polls_to_end = 1
    project.ask([question(text) for text in texts], mode="direct")
    assert sorted(project.sent()) == sorted(texts)


def test_neither_key_nor_text_is_in_the_ledger_or_in_what_is_printed(project: Project, texts, capfd):
    project.ask([question(text) for text in texts[:5]], mode="direct")
    project.ask([question(text) for text in texts[:10]])
    project.fake.key = "another"
    with pytest.raises(ApiError) as caught:
        project.ask([question("last")])
    written = b"".join(file.read_bytes() for file in project.ledger.parent.iterdir())
    printed = "\n".join([str(caught.value), *project.lines, *capfd.readouterr()])
    assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in project.fake.calls)
    assert KEY.encode() not in written
    assert KEY not in printed
    assert b"text 3 forget" not in written
    assert b"You label texts" not in written


def spent(project: Project) -> float:
    """Dollars that the ledger counts as spent."""
    return sqlite3.connect(project.ledger).execute("select sum(spent) from item").fetchone()[0]
