"""What each Claude verb asks about: which documents, how much of a text, how its answers are checked.

Sub-sections of `claude`; how requests are sent and paid for stands in config.py.
"""

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


class LatentsConfig(BaseModel):
    """Section `claude.latents`: verbs `label sae describe` and `label sae select`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    export: str | None = None
    """A Neuronpedia export, JSON or JSONL; None: Claude explains our own top contexts."""
    contexts: int = Field(default=10, ge=1)
    """Contexts per latent that Claude sees, those of the lowest hash."""
    per_request: int = Field(default=20, ge=1, le=100)
    """Latents in one request."""
    context_characters: int = Field(default=600, ge=40)
    """Longer ones are cut on both sides of what the latent is active on."""
    held_out: int = Field(default=5, ge=2)
    """Contexts kept from the explainer, to test the explanation with, against as many of other latents."""
    quality_floor: float = Field(default=0.9, ge=0, le=1)
    """Explanations by which Claude tells fewer contexts apart are dropped (balanced accuracy)."""
