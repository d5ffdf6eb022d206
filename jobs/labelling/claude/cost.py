"""The price of a model, and what a request may cost and will probably cost, from its bytes alone.

`conf/prices/claude.yaml` has the published prices; `claude.prices` in a project wins over it. The bound is what is
reserved: one token per byte is never exceeded, so the budget holds whatever the texts are. The price of that safety:
reservations are about 2.5 times the true cost, and a tight budget is spent in several batches. What requests did cost
comes from `usage`.
"""

import json
import math
from collections.abc import Mapping

from tokensieve.jobs.config.claude import ClaudeConfig, Price, PriceTable
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.labelling.claude.request import Request

# Bytes per token of English prose: the API's documentation counts 2.5 million characters in a million tokens of its
# newest tokenizer; older ones make fewer tokens.
LIKELY_BYTES_PER_TOKEN = 2.5
# What the API adds to a prompt: the frame of the message and its own words about the schema. An allowance, not a fact.
FRAME_TOKENS = 400


def price_of(model: str, own: Mapping[str, Price]) -> Price:
    """The price of a model. Raises ConfigError for one without: an unknown price would make the budget a lie."""
    from tokensieve.jobs.config.load import load_section

    if model in own:
        return own[model]
    table = load_section(PriceTable, "prices/claude")
    if model not in table.models:
        raise ConfigError(
            f"claude.model: no price is known for {model!r} (known as of {table.as_of}: {', '.join(table.models)}); "
            f"give it as claude.prices.{model} with the keys input, output, cache_write, cache_read (USD per million "
            "tokens), or choose another model"
        )
    return table.models[model]


def most(request: Request, config: ClaudeConfig, price: Price, *, batch: bool) -> float:
    """An upper bound of what one attempt at a request costs, in USD."""
    tokens = math.ceil(_bytes(request) / config.bytes_per_token) + FRAME_TOKENS
    output = request.max_tokens + config.thinking_tokens
    return price.dollars(batch=batch, input_tokens=tokens, output_tokens=output)


def likely_input(request: Request) -> int:
    """Input tokens that a request of English prose probably has."""
    return math.ceil(_bytes(request) / LIKELY_BYTES_PER_TOKEN)


def _bytes(request: Request) -> int:
    return sum(len(part.encode()) for part in (request.system, request.user, json.dumps(request.schema)))
