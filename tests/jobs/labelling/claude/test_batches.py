"""Batches, with the real client over a real socket: whatever the server does, nothing is paid twice or lost."""

import pytest

from tests.claude_project import Project, canaries, honest, question, text_of
from tests.fake_claude import CANCELED, ERRORED, EXPIRED, REFUSAL, TRUNCATED
from tests.fake_claude_http import CUT_AFTER, CUT_BEFORE, CUT_MIDDLE, MISSING
from tokensieve.jobs.labelling.claude import client
from tokensieve.jobs.labelling.claude.client import ApiError, BatchError

CREATE = "POST /v1/messages/batches"
RESULTS = "GET /v1/messages/batches/ID/results"


def test_answers_come_in_the_order_of_the_requests_though_results_are_reversed(project: Project, texts):
    answers = project.ask([question(text) for text in texts])
    assert [answer.value for answer in answers] == [{"forget": at % 3 == 0} for at in range(30)]
    assert {answer.state for answer in answers} == {"done"}
    assert len(project.fake.batches) == 1


def test_running_again_sends_nothing_and_needs_no_key(project: Project, texts, monkeypatch):
    requests = [question(text) for text in texts]
    first = project.ask(requests)
    calls = len(project.fake.calls)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert project.ask(requests) == first
    assert len(project.fake.calls) == calls


def test_more_requests_send_only_what_is_new_and_equal_ones_are_asked_once(project: Project, texts):
    project.ask([question(text) for text in texts[:20]])
    answers = project.ask([question(text) for text in [*texts, texts[0]]])
    assert len(answers) == 31
    assert answers[0] == answers[30]
    assert sorted(project.sent()) == sorted(texts)


def test_a_changed_prompt_is_a_new_question(project: Project):
    project.ask([question("one", "document/1")])
    project.ask([question("one", "document/2")])
    assert project.sent() == ["one", "one"]


def test_batches_keep_to_the_limits_of_requests_and_bytes(project: Project, texts):
    project.ask([question(text) for text in texts], batch_requests=12)
    assert [len(batch.requests) for batch in project.fake.batches.values()] == [12, 12, 6]
    longs = [question(f"{at} " + "x" * 1000) for at in range(6)]
    project.ask(longs, batch_bytes=3500)
    assert [len(batch.requests) for batch in project.fake.batches.values()][3:] == [2, 2, 2]


def test_no_more_batches_are_open_than_allowed(project: Project, texts):
    project.fake.polls_to_end = 3
    project.ask([question(text) for text in texts], batch_requests=5, open_batches=2)
    opened = [line for line in project.lines if "batches under way" in line]
    assert max(int(line.split(" batches under way")[0].split("; ")[-1]) for line in opened) == 2


def test_a_lost_reply_to_create_leaves_one_batch_whose_answers_are_adopted(project: Project, texts):
    project.fake.script(CREATE, CUT_AFTER)
    project.fake.polls_to_end = 2
    answers = project.ask([question(text) for text in texts], canaries(5))
    assert len(project.fake.batches) == 1
    assert [answer.state for answer in answers] == ["done"] * 30
    assert any("has arrived as msgbatch_000001" in line for line in project.lines)


def test_a_lost_reply_is_told_apart_from_somebody_elses_batch_of_the_same_size(project: Project, texts):
    other = [{"custom_id": f"other-{at}", "params": project_params(text)} for at, text in enumerate(texts)]
    project.fake.create({"requests": other})
    project.fake.script(CREATE, CUT_AFTER)
    project.fake.page = 1  # the listing has pages
    assert [answer.state for answer in project.ask([question(text) for text in texts])] == ["done"] * 30
    assert len(project.fake.batches) == 2


def test_a_create_that_never_arrived_is_sent_once(project: Project, texts):
    other = [{"custom_id": f"other-{at}", "params": project_params(text)} for at, text in enumerate(texts)]
    project.fake.create({"requests": other})
    project.fake.script(CREATE, CUT_BEFORE)
    project.ask([question(text) for text in texts])
    assert project.fake.count(CREATE) == 2
    assert len(project.fake.batches) == 2


def test_rate_limit_and_overload_of_create_are_waited_out(project: Project, texts):
    project.fake.script(CREATE, 429, 529, 500)
    project.ask([question(text) for text in texts])
    assert len(project.fake.batches) == 1
    assert project.fake.count(CREATE) == 4


def test_an_overload_that_does_not_end_is_an_error_and_the_next_run_goes_on(project: Project, monkeypatch):
    monkeypatch.setattr("tokensieve.jobs.labelling.claude.batches.TRIES", 2)
    project.fake.script(CREATE, 529, 529)
    with pytest.raises(ApiError, match="status 529"):
        project.ask([question("one")])
    assert project.ask([question("one")])[0].state == "done"
    assert len(project.fake.batches) == 1


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "ANTHROPIC_API_KEY is wrong or has expired"), (413, "batch_bytes")]
)
def test_a_refused_create_is_a_named_error_and_is_not_repeated(project: Project, status: int, advice: str):
    project.fake.script(CREATE, status)
    with pytest.raises(ApiError, match=advice):
        project.ask([question("one")])
    assert project.fake.count(CREATE) == 1
    assert project.ask([question("one")])[0].state == "done"


def test_a_server_that_is_not_there_is_a_named_error_and_nothing_is_held_back(project: Project, monkeypatch):
    monkeypatch.setattr(client, "_LONGEST_WAIT", 0.01)
    with pytest.raises(ApiError, match="cannot be reached"):
        project.ask([question("one")], base_url="http://127.0.0.1:9")
    assert project.ask([question("one")])[0].state == "done"


def test_results_that_break_off_are_read_again_and_nothing_is_sent_again(project: Project, texts):
    project.fake.script(RESULTS, CUT_MIDDLE, CUT_BEFORE, 529, CUT_MIDDLE)
    assert {answer.state for answer in project.ask([question(text) for text in texts])} == {"done"}
    assert len(project.fake.batches) == 1


def test_results_that_always_break_off_are_an_error_and_are_collected_later(project: Project, texts):
    project.fake.script(RESULTS, *[CUT_MIDDLE] * 4)
    with pytest.raises(ApiError, match="run the same command again"):
        project.ask([question(text) for text in texts])
    assert {answer.state for answer in project.ask([question(text) for text in texts])} == {"done"}
    assert len(project.fake.batches) == 1


def test_a_result_that_is_missing_once_is_read_again_and_one_that_stays_missing_is_asked_again(project: Project, texts):
    project.fake.script(RESULTS, MISSING)
    project.ask([question(text) for text in texts[:10]])
    assert len(project.fake.batches) == 1
    project.fake.script(RESULTS, *[MISSING] * 4)
    assert {answer.state for answer in project.ask([question(text) for text in texts])} == {"done"}
    assert [len(batch.requests) for batch in project.fake.batches.values()] == [10, 20, 1]


def test_refused_and_failed_are_states_and_never_labels(project: Project):
    said = {"refuse": REFUSAL, "cut": TRUNCATED, "words": "It is medical.", "type": '{"forget": "yes"}', "nan": "NaN"}
    project.fake.answer = lambda params: said.get(text_of(params), '{"forget": true}')
    answers = dict(zip([*said, "good"], project.ask([question(text) for text in [*said, "good"]]), strict=True))
    assert {name: answer.state for name, answer in answers.items()} == {
        **{"refuse": "refused", "cut": "failed", "words": "failed", "type": "failed", "nan": "failed", "good": "done"}
    }
    assert [answer.value for answer in answers.values()] == [None, None, None, None, None, {"forget": True}]
    assert "thinking" in answers["cut"].detail
    assert "not JSON" in answers["words"].detail
    assert answers["type"].detail == 'answer.forget is "yes", not boolean'
    # Three attempts each, and none for what was settled at once.
    assert sorted(project.sent()) == sorted(["refuse", "good", *["cut", "words", "type", "nan"] * 3])


def test_failed_requests_are_asked_again_only_when_attempts_are_raised(project: Project):
    project.fake.answer = lambda params: "no JSON"
    assert project.ask([question("one")], max_attempts=2)[0].state == "failed"
    project.fake.answer = honest
    assert project.ask([question("one")], max_attempts=2)[0].state == "failed"
    assert project.ask([question("one")], max_attempts=3)[0].state == "done"
    assert project.sent() == ["one"] * 3


def test_errored_and_expired_requests_are_asked_again_without_having_cost_anything(project: Project, texts):
    seen: list[str] = []

    def answer(params):
        seen.append(text_of(params))
        first = seen.count(text_of(params)) == 1
        return {0: ERRORED, 3: EXPIRED}.get(texts.index(text_of(params)), honest(params)) if first else honest(params)

    project.fake.answer = answer
    assert {one.state for one in project.ask([question(text) for text in texts])} == {"done"}
    assert [len(batch.requests) for batch in project.fake.batches.values()] == [30, 2]
    assert len(project.fake.billed) == 30


def test_a_batch_that_is_refused_as_a_whole_stops_the_run(project: Project):
    project.fake.answer = lambda params: ERRORED
    with pytest.raises(ApiError, match="refused each of its 2 requests: errored: internal error"):
        project.ask([question("one"), question("two")])
    assert len(project.fake.batches) == 1


def test_a_cancelled_batch_keeps_its_answers_and_is_not_sent_again_by_itself(project: Project, texts):
    project.fake.answer = lambda params: CANCELED if "keep" in text_of(params) else honest(params)
    requests = [question(text) for text in texts]
    with pytest.raises(BatchError, match=r"10 answers are kept, 20 requests were not asked"):
        project.ask(requests)
    assert len(project.fake.batches) == 1
    project.fake.answer = honest
    assert {one.state for one in project.ask(requests)} == {"done"}
    assert [len(batch.requests) for batch in project.fake.batches.values()] == [30, 20]


def test_a_batch_that_never_ends_is_an_error_with_its_name_and_is_collected_later(project: Project):
    project.fake.polls_to_end = None
    with pytest.raises(BatchError, match=r"batch msgbatch_000001 was sent .* nothing is sent twice"):
        project.ask([question("one")], patience_hours=0.0001)
    project.fake.polls_to_end = 1
    assert project.ask([question("one")])[0].state == "done"
    assert len(project.fake.batches) == 1


def test_a_batch_can_be_given_up_once_and_what_it_may_have_cost_stays_spent(project: Project):
    project.fake.polls_to_end = None
    with pytest.raises(BatchError):
        project.ask([question("one")], patience_hours=0.0001)
    project.fake.polls_to_end = 1
    for _ in range(2):
        assert project.ask([question("one")], abandon=("msgbatch_000001",))[0].state == "done"
    assert len(project.fake.batches) == 2


def test_a_batch_of_another_workspace_is_a_named_error(project: Project):
    project.fake.polls_to_end = None
    with pytest.raises(BatchError):
        project.ask([question("one")], patience_hours=0.0001)
    project.fake.batches.clear()
    with pytest.raises(BatchError, match=r"msgbatch_000001 is not known .* claude.abandon=\[msgbatch_000001\]"):
        project.ask([question("one")])


def test_a_wrong_answer_by_the_callers_check_is_asked_again(project: Project):
    tries = iter(['{"forget": false}', '{"forget": true}'])
    project.fake.answer = lambda params: next(tries)

    def check(request, value):
        return None if value["forget"] else "a text must be forgotten"

    assert project.ask([question("one")], check=check)[0].value == {"forget": True}
    assert project.sent() == ["one", "one"]


def test_a_stored_answer_that_no_longer_passes_the_check_is_not_returned(project: Project):
    project.ask([question("one")], max_attempts=1)
    answer = project.ask([question("one")], check=lambda request, value: "out of range", max_attempts=1)[0]
    assert (answer.state, answer.value, answer.detail) == ("failed", None, "out of range")


def test_bounds_stay_out_of_what_is_sent_and_are_checked_here(project: Project):
    request = question("one")
    schema = {
        **{"type": "object", "required": ["at"], "additionalProperties": False},
        "properties": {"at": {"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 0}}},
    }
    bounded = type(request)(**{**vars(request), "schema": schema})
    project.fake.answer = lambda params: '{"at": [1, 2, 3]}'
    answer = project.ask([bounded])[0]
    assert answer.detail == "answer.at: 3 is above maxItems 2"
    sent = project.fake.batches["msgbatch_000001"].requests[0]["params"]["output_config"]["format"]["schema"]
    assert sent["properties"] == {"at": {"type": "array", "items": {"type": "integer"}}}


def project_params(text: str) -> dict[str, object]:
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
