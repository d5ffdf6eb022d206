"""The API client, and what can go wrong between us and Claude, in words that say what to do.

The client never retries what costs money: its own retry would hide a lost reply, after which nobody knows what was
paid. What is retried, and how it is counted, stands in batches.py and direct.py; reading is retried by the client. Each
of the errors here stops the verb; what was answered until then stays in the ledger.
"""

import os
import random
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.errors import ConfigError, InputError, VerbError

if TYPE_CHECKING:
    from anthropic import Anthropic, APIError, APIStatusError

KEY_VARIABLE = "ANTHROPIC_API_KEY"
TRIES = 8
_LONGEST_WAIT = 30.0
_ADVICE = {
    401: f"the key in {KEY_VARIABLE} is wrong or has expired; set a valid one",
    402: "the account cannot pay; see its billing settings",
    403: f"the key in {KEY_VARIABLE} may not do this; use one of the right workspace",
    404: "the model of claude.model, or a batch of the ledger, does not exist for this key; check both",
    413: "the request is too large; lower claude.batch_bytes",
    429: "the rate limit of the account is exhausted; run again later, or lower claude.concurrency",
}


class ApiError(VerbError):
    """The API refuses or cannot be reached: a wrong key, an unknown model, no connection."""


class BatchError(VerbError):
    """A batch does not come to an end, was cancelled, or is gone from the server."""


class BudgetError(VerbError):
    """The next request could cross `claude.budget_usd`; it was not sent."""


class CanaryError(VerbError):
    """Too many requests of known answer were answered wrongly; the answers that came with them are not used."""


class LedgerError(VerbError):
    """The ledger is in use by another process, damaged, or of another version."""


def settings(config: ClaudeConfig) -> dict[str, Any]:
    """Keyword arguments of a client.

    Raises:
        InputError: anthropic is not installed, or there is no API key.
        ConfigError: the model is deprecated.
    """
    try:
        from anthropic.resources.messages import DEPRECATED_MODELS
    except ImportError as error:
        raise InputError("asking Claude needs the package anthropic: pip install 'tokensieve[claude]'") from error
    if config.model in DEPRECATED_MODELS:
        raise ConfigError(
            f"claude.model: {config.model} is deprecated and ends on {DEPRECATED_MODELS[config.model]}; choose a "
            "current model. Answers of another model are other answers: what the old one answered is not mixed in"
        )
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise InputError(f"asking Claude needs an API key in the environment variable {KEY_VARIABLE}")
    address = {} if config.base_url is None else {"base_url": config.base_url}
    return {"api_key": key, **address}


def open_client(config: ClaudeConfig) -> "Anthropic":
    """A client; its `messages.batches.create` must be called with `max_retries=0`. Raises as `settings`."""
    arguments = settings(config)
    from anthropic import Anthropic

    return Anthropic(**arguments)


def explained(error: "APIError") -> ApiError:
    """An error of the client as one that says what to do."""
    from anthropic import APIStatusError

    after = "; what was answered is in the ledger, run the same command again to go on"
    if not isinstance(error, APIStatusError):
        return ApiError(f"the API cannot be reached ({error}); check the network and claude.base_url{after}")
    said = error.api_message or error.message
    advice = _ADVICE.get(error.status_code, "see what it says")
    return ApiError(f"the API refused with status {error.status_code} ({said}): {advice}{after}")


def passing(error: "APIStatusError") -> bool:
    """The API did nothing and may do it later: such a request is not billed."""
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def never_sent(error: "APIError") -> bool:
    """No connection came about, so the server cannot have acted."""
    import httpx2

    return isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))


def wait_seconds(error: "APIError", tried: int) -> float:
    """How long to wait before trying again: what the server asks for, else doubling from half a second."""
    from anthropic import APIStatusError

    asked = error.response.headers.get("retry-after", "") if isinstance(error, APIStatusError) else ""
    try:
        return min(max(float(asked), 0.0), 2 * _LONGEST_WAIT)
    except ValueError:  # absent, or a date
        return min(0.5 * 2**tried, _LONGEST_WAIT) * random.uniform(0.75, 1.0)
