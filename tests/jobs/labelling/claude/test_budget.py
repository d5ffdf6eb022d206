"""The budget is never crossed, whatever is lost on the way; prices and estimates are what they say."""

import pytest

from tests.claude_project import MODEL, Project, canaries, question
from tests.fake_claude_http import CUT_AFTER
from tokensieve.jobs.config.claude import LongRates, Price
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.labelling.claude.client import BudgetError
from tokensieve.jobs.labelling.claude.cost import most, price_of
from tokensieve.jobs.labelling.claude.estimate import estimate

PRICE = Price(input=100.0, output=500.0, cache_write=200.0, cache_read=10.0)


def billed(project: Project) -> float:
    """Dollars that the server would ask for."""
    return sum(
        PRICE.dollars(batch=batch, input_tokens=prompt, output_tokens=output)
        for batch, prompt, output in project.fake.billed
    )


@pytest.mark.parametrize("mode", ["batch", "direct"])
def test_a_budget_too_small_for_anything_sends_nothing_and_says_what_is_needed(project: Project, texts, mode: str):
    requests = [question(text) for text in texts]
    with pytest.raises(BudgetError, match=r"budget_usd is \$0.0010.*30 requests wait.*set claude.budget_usd=") as error:
        project.ask(requests, mode=mode, prices={MODEL: PRICE}, budget_usd=0.001)
    assert project.fake.calls == []
    needed = float(str(error.value).split("set claude.budget_usd=")[1].split(" ")[0])
    project.ask(requests, mode=mode, prices={MODEL: PRICE}, budget_usd=needed)
    assert billed(project) <= needed


@pytest.mark.parametrize("mode", ["batch", "direct"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_budget_below_the_cost_stops_before_it_is_crossed_and_a_higher_one_goes_on(
    project: Project, texts, mode: str, share: float
):
    requests = [question(text) for text in texts]
    whole = sum(PRICE.dollars(batch=mode == "batch", input_tokens=25, output_tokens=6) for _ in requests)
    settings = {"mode": mode, "prices": {MODEL: PRICE}, "concurrency": 3}
    bound = most(requests[0], project.config(), PRICE, batch=mode == "batch")
    with pytest.raises(BudgetError):
        project.ask(requests, budget_usd=bound + share * whole, **settings)
    assert 0 < billed(project) <= bound + share * whole
    before = len(project.fake.billed)
    assert {one.state for one in project.ask(requests, budget_usd=9.0, **settings)} == {"done"}
    assert len(project.fake.billed) == 30
    assert before > 0


def test_a_tight_budget_is_spent_in_several_batches(project: Project, texts):
    requests = [question(text) for text in texts]
    bound = sum(most(one, project.config(), PRICE, batch=True) for one in requests)
    project.ask(requests, prices={MODEL: PRICE}, budget_usd=bound / 2)
    assert len(project.fake.batches) > 1
    assert billed(project) <= bound / 2


def test_the_last_of_the_budget_is_not_spent_on_canaries_alone(project: Project, texts):
    requests = [question(text) for text in texts]
    one = most(requests[0], project.config(), PRICE, batch=True)
    with pytest.raises(BudgetError):
        project.ask(requests, canaries(5), prices={MODEL: PRICE}, budget_usd=9.5 * one)
    assert project.fake.calls == []


def test_lost_replies_stay_within_the_budget_though_the_server_bills_them(project: Project, texts):
    project.fake.script("POST /v1/messages", CUT_AFTER, 529, CUT_AFTER)
    requests = [question(text) for text in texts]
    one = most(requests[0], project.config(), PRICE, batch=False)
    with pytest.raises(BudgetError):
        project.ask(requests, mode="direct", prices={MODEL: PRICE}, budget_usd=3.5 * one, concurrency=2)
    assert billed(project) <= 3.5 * one


def test_the_budget_counts_everything_the_ledger_ever_paid(project: Project, texts):
    requests = [question(text) for text in texts]
    project.ask(requests[:29], prices={MODEL: PRICE})
    with pytest.raises(BudgetError, match="1 requests wait"):
        project.ask(requests, prices={MODEL: PRICE}, budget_usd=billed(project) + 0.0001)
    assert len(project.fake.batches) == 1


def test_the_bound_holds_for_any_text_since_no_token_is_shorter_than_a_byte(project: Project):
    for text in ("\U0001f9ec" * 50, "日本語" * 50, "x7#q" * 50):
        request = question(text)
        tokens = len(text.encode()) + 136  # the system text and the schema
        assert most(request, project.config(), PRICE, batch=False) == pytest.approx(
            ((tokens + 400) * 100.0 + 20 * 500.0) / 1e6
        )


def test_prices_of_a_long_prompt_of_a_cache_and_of_a_batch():
    long = LongRates(over_tokens=1000, input=500.0, output=2500.0, cache_write=1000.0, cache_read=50.0)
    price = Price(**{**PRICE.model_dump(exclude={"long_prompt"}), "long_prompt": long})
    assert price.dollars(batch=False, input_tokens=1000, output_tokens=10) == pytest.approx(0.105)
    assert price.dollars(batch=True, input_tokens=1000, output_tokens=10) == pytest.approx(0.0525)
    assert price.dollars(batch=False, input_tokens=1001, output_tokens=10) == pytest.approx(0.5255)
    assert price.dollars(batch=False, input_tokens=0, output_tokens=0, cache_write=10, cache_read=10) == pytest.approx(
        0.0021
    )


def test_a_model_without_a_price_is_an_error_that_says_where_to_put_it(project: Project):
    with pytest.raises(ConfigError, match=r"no price is known for 'claude-new-1'.*claude.prices.claude-new-1"):
        project.ask([question("one")], model="claude-new-1")
    assert price_of("claude-new-1", {"claude-new-1": PRICE}) == PRICE
    assert price_of("claude-haiku-4-5", {}).output == 5.0


def test_a_deprecated_model_is_an_error_before_anything_is_sent(project: Project):
    with pytest.raises(ConfigError, match=r"claude-sonnet-4-5 is deprecated and ends on November 30th, 2026; choose"):
        project.ask([question("one")], model="claude-sonnet-4-5", prices={"claude-sonnet-4-5": PRICE})
    assert project.fake.calls == []


def test_a_missing_key_is_an_error_that_names_the_variable(project: Project, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(InputError, match="environment variable ANTHROPIC_API_KEY"):
        project.ask([question("one")])


def test_a_dry_run_sends_nothing(project: Project):
    with pytest.raises(ConfigError, match=r"claude.dry_run"):
        project.ask([question("one")], dry_run=True)
    assert project.fake.calls == []
    assert not project.ledger.exists()


def test_an_estimate_sends_nothing_and_says_what_is_new_and_what_it_costs(project: Project, texts):
    requests = [question(text) for text in [*texts, texts[0]]]
    config = project.config(prices={MODEL: PRICE}, budget_usd=9.0)
    first = estimate(requests, config, project.ledger, canaries(7))
    assert (first.requests, first.answered, first.new, first.canaries, first.batch) == (30, 0, 30, 5, True)
    assert first.output_tokens == 35 * 20
    assert not project.ledger.exists()
    assert project.fake.calls == []
    project.ask(requests[:10], prices={MODEL: PRICE})
    second = estimate(requests, config, project.ledger)
    assert (second.answered, second.under_way, second.new) == (10, 0, 20)
    assert second.spent == pytest.approx(billed(project))
    assert second.dollars < second.most_dollars < first.most_dollars
    assert second.lines()[0] == (
        "requests   30: 10 already answered, 0 under way, 20 to send in batches, with 0 canaries"
    )
