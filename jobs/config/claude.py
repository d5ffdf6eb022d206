"""Section `claude`: who is asked, what about, what it may cost, and how requests are sent.

The API key is never configuration: it is read from the environment variable ANTHROPIC_API_KEY.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SampleConfig(BaseModel):
    """Which of the source's texts are asked about. Chosen by the hash of the text and `seed`, never by position.

    A larger sample holds every smaller one of the same seed; equal texts are one text and are asked about once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=1.0, gt=0, le=1)
    """The share of different texts that is asked about."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many different texts, those of the lowest hash; None: no limit."""
    seed: int = 0


class DocumentsConfig(SampleConfig):
    """Section `claude.documents`: verb `label claude documents`."""

    max_characters: int = Field(default=12_000, ge=300)
    """A longer text is shown as its head, middle and tail, with marks where something was left out."""


class LatentsConfig(BaseModel):
    """Section `claude.latents`: verbs `label sae describe` and `label sae select`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    export: str | None = None
    """A Neuronpedia export, JSON or JSONL; None: Claude explains our own top contexts."""
    contexts: int = Field(default=10, ge=1)
    """Contexts per latent that Claude sees, those of the lowest hash."""
    per_request: int = Field(default=20, ge=1, le=100)
    """Latents in one request."""
    quality_floor: float = Field(default=0.9, ge=0, le=1)
    """Explanations by which Claude tells fewer contexts apart are dropped (balanced accuracy)."""


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


class QuestionsConfig(BaseModel):
    """Section `claude.questions`: verb `label claude questions`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """A Parquet file of multiple-choice questions."""
    id: str = "id"
    question: str = "question"
    choices: str = "choices"
    """The columns: string, string, list of strings."""
    max_characters: int = Field(default=6_000, ge=300)


class SentencesConfig(SampleConfig):
    """Section `claude.sentences`: verb `label claude sentences`."""

    max_characters: int = Field(default=8_000, ge=1_000)
    max_sentences: int = Field(default=100, ge=1)
    """Sentences in one request, as characters and as a number; a longer document is asked about in several."""
    head_characters: int = Field(default=1_500, ge=0)
    """How much of the document's beginning goes with each request but the first, as context."""
    check_documents: int = Field(default=50, ge=0)
    """So many documents are also asked about sentence by sentence; 0 turns the check off."""
    check_sentences: int = Field(default=20, ge=1)
    """At most so many sentences of each of them."""
    kappa_floor: float = Field(default=0.7, ge=-1, le=1)
    """Cohen's kappa of joint against single answers below which the verb fails."""


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


class PriceTable(BaseModel):
    """The file `conf/prices/claude.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str
    source: str
    models: dict[str, Price]
