"""What asking would cost, before anything is sent: the numbers of a dry run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.labelling.claude.canaries import number as canaries_for
from tokensieve.jobs.labelling.claude.cost import likely_input, most, price_of
from tokensieve.jobs.labelling.claude.ledger import Ledger
from tokensieve.jobs.labelling.claude.request import Canary, Request, labeller


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What asking would cost; nothing was sent.

    Attributes:
        requests: different questions. answered: those that the ledger already answers, at no further cost.
        under_way: those that were sent before and are still to be collected. new: those that would be sent, `canaries`
        not counted. batch: whether they would go in batches.
        input_tokens, output_tokens: probable input, most output of new requests and canaries at the first attempt.
        dollars: what that costs. most_dollars: the upper bound that is reserved while they are under way.
        spent, reserved: of the ledger so far. budget: `claude.budget_usd`.
    """

    requests: int
    answered: int
    under_way: int
    new: int
    canaries: int
    batch: bool
    input_tokens: int
    output_tokens: int
    dollars: float
    most_dollars: float
    spent: float
    reserved: float
    budget: float

    def lines(self) -> list[str]:
        """For people."""
        way = "in batches" if self.batch else "by direct calls"
        left = self.budget - self.spent - self.reserved
        return [
            f"requests   {self.requests:,}: {self.answered:,} already answered, {self.under_way:,} under way, "
            f"{self.new:,} to send {way}, with {self.canaries:,} canaries",
            f"tokens     about {self.input_tokens:,} in, at most {self.output_tokens:,} out",
            f"cost       about ${self.dollars:.2f}, at most ${self.most_dollars:.2f} per attempt",
            f"budget     ${self.budget:.2f}: ${self.spent:.2f} spent, ${self.reserved:.2f} reserved, ${left:.2f} left",
        ]


def estimate(
    requests: Sequence[Request], config: ClaudeConfig, ledger: Path, canaries: Sequence[Canary] = ()
) -> Estimate:
    """What `service.ask` would cost. Sends nothing, needs no API key, writes nothing.

    Raises ConfigError for a model without a price, LedgerError while another process uses the ledger.
    """
    price = price_of(config.model, config.prices)
    by_key = {request.key(labeller(config)): request for request in requests}
    answered: set[str] = set()
    under_way: set[str] = set()
    spent = reserved = 0.0
    if ledger.exists():
        with Ledger(ledger, labeller(config), config.max_attempts) as book:
            book.want(by_key)
            answered, under_way = {key for key, *_ in book.answers()}, book.under_way()
            spent, reserved = book.money()
    new = [request for key, request in by_key.items() if key not in answered | under_way]
    batch = in_batches(config, len(new))
    extra = [canaries[at % len(canaries)].request for at in range(canaries_for(len(new), len(canaries), config))]
    # Each request at its own rate: a long prompt may be dearer.
    tokens = [(likely_input(one), one.max_tokens + config.thinking_tokens) for one in [*new, *extra]]
    return Estimate(
        requests=len(by_key),
        answered=len(answered),
        under_way=len(under_way),
        new=len(new),
        canaries=len(extra),
        batch=batch,
        input_tokens=sum(prompt for prompt, _ in tokens),
        output_tokens=sum(output for _, output in tokens),
        dollars=sum(price.dollars(batch=batch, input_tokens=one, output_tokens=out) for one, out in tokens),
        most_dollars=sum(most(one, config, price, batch=batch) for one in [*new, *extra]),
        spent=spent,
        reserved=reserved,
        budget=config.budget_usd,
    )


def in_batches(config: ClaudeConfig, waiting: int) -> bool:
    """Whether so many requests go in batches (`claude.mode`)."""
    return config.mode == "batch" or (config.mode == "auto" and waiting >= config.direct_below)
