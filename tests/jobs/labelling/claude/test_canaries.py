"""Canaries are asked with every batch, and answers that they do not vouch for are never returned."""

import json
import re

import pytest

from tests.claude_project import Project, canaries, honest, question, text_of
from tests.fake_claude import EXPIRED, REFUSAL
from tokensieve.jobs.labelling.claude.canaries import number, verdict
from tokensieve.jobs.labelling.claude.client import CanaryError


def canary_ids(project: Project) -> list[set[str]]:
    ids = [{one["custom_id"] for one in batch.requests} for batch in project.fake.batches.values()]
    return [{one for one in batch if one.startswith("canary")} for batch in ids]


def wrong_on(*which: str):
    """A labeller that misjudges texts with one of these beginnings."""

    def answer(params):
        right = honest(params)
        return json.dumps({"forget": right != '{"forget": true}'}) if text_of(params).startswith(which) else right

    return answer


def test_every_batch_has_its_own_canaries_and_they_are_really_asked(project: Project, texts):
    answers = project.ask([question(text) for text in texts], canaries(8), batch_requests=10)
    assert len(answers) == 30
    ids = canary_ids(project)
    assert [len(one) for one in ids] == [5, 5, 5]
    assert len(set.union(*ids)) == 15
    # They stand among the requests, and nothing in what the model reads tells them apart.
    first = [one["custom_id"].startswith("canary") for one in project.fake.batches["msgbatch_000001"].requests]
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)
    shapes = {tuple(sorted(one["params"])) for one in project.fake.batches["msgbatch_000001"].requests}
    assert shapes == {("max_tokens", "messages", "model", "output_config", "system")}


def test_canaries_are_not_asked_when_everything_is_answered(project: Project, texts):
    requests = [question(text) for text in texts]
    project.ask(requests, canaries(5))
    calls = len(project.fake.calls)
    project.ask(requests, canaries(5))
    assert len(project.fake.calls) == calls


@pytest.mark.parametrize("mode", ["batch", "direct"])
def test_answers_of_a_batch_whose_canaries_fail_are_kept_but_never_returned(project: Project, texts, mode: str):
    project.fake.answer = wrong_on("canary 1", "canary 2")
    requests = [question(text) for text in texts]
    with pytest.raises(CanaryError, match=r"3 of its 5 canaries were answered right.*used for nothing") as error:
        project.ask(requests, canaries(5), mode=mode)
    calls = len(project.fake.calls)
    assert len(project.fake.billed) == 35
    # Running again returns nothing and pays nothing, also where nobody asks for canaries.
    with pytest.raises(CanaryError):
        project.ask(requests, mode=mode)
    assert len(project.fake.calls) == calls
    project.fake.answer = honest
    found = re.search(r"claude.abandon=\[(\w+)\]", str(error.value))
    assert found is not None
    answers = project.ask(requests, canaries(5), mode=mode, abandon=(found[1],))
    assert [answer.value for answer in answers] == [{"forget": at % 3 == 0} for at in range(30)]


def test_the_batches_after_a_failing_one_are_not_sent(project: Project, texts):
    project.fake.answer = wrong_on("canary")
    with pytest.raises(CanaryError):
        project.ask([question(text) for text in texts], canaries(5), batch_requests=10, open_batches=1)
    assert len(project.fake.batches) == 1


def test_one_miss_is_forgiven_in_small_batches_but_not_one_in_each(project: Project, texts):
    project.fake.answer = wrong_on("canary 1")
    project.ask([question(text) for text in texts[:10]], canaries(5))
    with pytest.raises(CanaryError, match=r"4 of its 5 canaries .* right, 8 of the latest 10 \(80.0%, floor"):
        project.ask([question(text) for text in texts[10:]], canaries(5))
    # The first batch stays good.
    assert len(project.ask([question(text) for text in texts[:10]], canaries(5))) == 10


def test_a_canary_that_is_refused_or_answered_with_nonsense_is_wrong(project: Project):
    said = {"canary 0": REFUSAL, "canary 1": "nonsense", "canary 2": '{"forget": 1}'}
    project.fake.answer = lambda params: said.get(text_of(params)[:8], honest(params))
    with pytest.raises(CanaryError, match="2 of its 5 canaries"):
        project.ask([question("one")], canaries(5))


def test_a_canary_that_expired_says_nothing_but_one_must_come_back(project: Project):
    project.fake.answer = lambda params: EXPIRED if text_of(params) == "canary 0 forget" else honest(params)
    assert project.ask([question("one")], canaries(5))[0].state == "done"
    project.fake.answer = lambda params: EXPIRED if text_of(params).startswith("canary") else honest(params)
    with pytest.raises(CanaryError, match="none of its 5 canaries came back"):
        project.ask([question("two")], canaries(5))


@pytest.mark.parametrize(
    ("right", "wrong", "earlier_right", "earlier_wrong", "fails"),
    [
        (5, 0, 0, 0, False),
        (4, 1, 0, 0, False),  # one is forgiven
        (3, 2, 0, 0, True),
        (0, 1, 0, 0, True),  # most of its own are wrong
        (1, 1, 0, 0, False),
        (4, 1, 44, 1, True),  # once, not in every batch
        (49, 1, 0, 0, False),  # 98 %
        (48, 2, 0, 0, True),  # 96 %
        (98, 2, 0, 0, False),
        (97, 3, 0, 0, True),
    ],
)
def test_the_floor_of_98_percent(right: int, wrong: int, earlier_right: int, earlier_wrong: int, fails: bool):
    own = [True] * right + [False] * wrong
    earlier = [True] * earlier_right + [False] * earlier_wrong
    assert bool(verdict(own, earlier, 0.98)) == fails


def test_there_are_two_canaries_to_a_hundred_requests_and_at_least_five(project: Project):
    config = project.config()
    assert [number(count, 20, config) for count in (0, 1, 250, 300, 10_000)] == [0, 5, 5, 6, 200]
    assert [number(100, different, config) for different in (0, 1, 3, 20)] == [0, 2, 3, 5]
