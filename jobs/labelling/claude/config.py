"""Section `claude`: who is asked, what it may cost, and how requests are sent.

The API key is never configuration: it is read from the environment variable ANTHROPIC_API_KEY.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.labelling.claude.prices import Price
from jobs.labelling.claude.settings import DocumentsConfig, LatentsConfig, QuestionsConfig, SentencesConfig


class ClaudeConfig(BaseModel):
    """Settings of everything that asks Claude. Model and budget have no default: one would rot, the other is yours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    budget_usd: float = Field(gt=0)
    """Most dollars that may be spent over the life of the ledger, all verbs together, reservations included."""
    prices: dict[str, Price] = {}
    """Prices by model that win over `conf/prices/claude.yaml`."""
    bytes_per_token: float = Field(default=1.0, ge=1, le=4)
    """Fewest UTF-8 bytes per input token that a reservation reckons with. No token is shorter than one byte, so 1 is
    never exceeded; 2 sends larger batches under a tight budget, and is safe for plain English."""

    thinking: Literal["disabled", "between_tools", "adaptive"] | None = None
    """None sends nothing, so the model does what it does by default: the newest think first, which is paid as output
    and must fit `thinking_tokens`. Which values a model accepts is up to the model."""
    thinking_tokens: int = Field(default=0, ge=0, le=32_000)
    """Room for thinking, added to the answer's own limit."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None

    mode: Literal["auto", "batch", "direct"] = "auto"
    """Batches cost half and take up to a day; direct calls answer at once. auto: direct below `direct_below`."""
    direct_below: int = Field(default=100, ge=1)
    concurrency: int = Field(default=8, ge=1, le=256)
    """Most direct calls at one time."""
    max_attempts: int = Field(default=3, ge=1, le=10)
    """Paid attempts per request; then it has failed. Raise it to have failed ones asked again."""

    batch_requests: int = Field(default=10_000, ge=1, le=100_000)
    batch_bytes: int = Field(default=200_000_000, ge=1_000, le=256_000_000)
    """Most requests and bytes of one batch; the upper bounds are the API's."""
    open_batches: int = Field(default=4, ge=1, le=100)
    """Batches under way at one time: so much is at stake when the canaries of the first one fail."""
    poll_seconds: float = Field(default=30.0, gt=0)
    patience_hours: float = Field(default=26.0, gt=0)
    """How long a batch may take; the API gives up on one after 24 hours."""
    settle_seconds: float = Field(default=60.0, ge=0)
    """How long after a lost reply a batch may still turn up on the server before it counts as never arrived."""
    abandon: tuple[str, ...] = ()
    """Batches, by either name, whose answers are given up: their questions are asked, and paid for, again."""

    canary_share: float = Field(default=0.02, ge=0, le=0.5)
    """Requests of known answer per request, in every batch; never fewer than five, where there are so many."""
    canary_floor: float = Field(default=0.98, ge=0, le=1)
    """The share of them that must be right."""

    dry_run: bool = False
    base_url: str | None = None
    """Another address of the API, such as a gateway; None: the client's own."""

    documents: DocumentsConfig = DocumentsConfig()
    sentences: SentencesConfig = SentencesConfig()
    questions: QuestionsConfig | None = None
    latents: LatentsConfig = LatentsConfig()
