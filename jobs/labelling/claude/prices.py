"""What a model costs. `conf/prices/claude.yaml` has the published prices; `claude.prices` in a project wins over it."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import ConfigError


class Rates(BaseModel):
    """USD per million tokens. `cache_write` is that of the longest-lived cache; this code asks for no caching."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_write: float = Field(ge=0)
    cache_read: float = Field(ge=0)


class LongRates(Rates):
    """What all tokens of a request cost whose prompt has more than `over_tokens` tokens."""

    over_tokens: int = Field(ge=1)


class Price(Rates):
    """The price of one model. A batch costs `batch_share` of it."""

    batch_share: float = Field(default=0.5, gt=0, le=1)
    long_prompt: LongRates | None = None

    def dollars(
        self, *, batch: bool, input_tokens: int, output_tokens: int, cache_write: int = 0, cache_read: int = 0
    ) -> float:
        """What one request costs in USD; `input_tokens` are those that were neither written to nor read from cache."""
        prompt = input_tokens + cache_write + cache_read
        rates = self.long_prompt if self.long_prompt and prompt > self.long_prompt.over_tokens else self
        full = input_tokens * rates.input + output_tokens * rates.output
        full += cache_write * rates.cache_write + cache_read * rates.cache_read
        return full / 1e6 * (self.batch_share if batch else 1.0)


class PriceTable(BaseModel):
    """The file `conf/prices/claude.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str
    source: str
    models: dict[str, Price]


def price_of(model: str, own: Mapping[str, Price]) -> Price:
    """The price of a model. Raises ConfigError for one without: an unknown price would make the budget a lie."""
    from jobs.config import load_section

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
