"""A policy's written definition: what is forgotten, what near it is kept, worked examples, what is done per domain.

All of it is shown to the labeller or decides what happens to text, so all of it belongs to the policy's name
(`PolicyDefinition.definition_id`): changing an example is another policy, and its labels are asked for again.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tokensieve.udfs.files.content_id import content_id

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Example = TypeVar("Example", bound="LatentExample | SentenceExample")


class LatentExample(BaseModel):
    """A feature of a language model: what it is said to be, where it is active, whether it falls under the policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Text
    contexts: tuple[Text, ...] = Field(min_length=1)
    forget: bool


class SentenceExample(BaseModel):
    """A sentence judged in its document; the same sentence may fall under the policy in one and not in another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: Text
    sentence: Text
    forget: bool

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.sentence not in self.document:
            raise ValueError(f"the sentence {self.sentence[:60]!r} does not stand in its document")
        return self


class Examples(BaseModel):
    """Worked examples of the latent and the sentence prompt, in the order in which they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latents: tuple[LatentExample, ...] = ()
    sentences: tuple[SentenceExample, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _both_ways("latents", self.latents, lambda one: (one.description, one.contexts))
        _both_ways("sentences", self.sentences, lambda one: (one.document, one.sentence))
        return self


class KnownDocuments(BaseModel):
    """Short texts whose label nobody doubts: a positive one's sentences all fall under the policy, a negative's none.

    No prompt shows them: canaries are made of them, and a canary that was a worked example would test nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: tuple[Text, ...] = Field(min_length=1)
    negative: tuple[Text, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        both = set(self.positive) & set(self.negative)
        if both:
            raise ValueError(f"a document is both positive and negative: {min(both)[:60]!r}")
        return self


class Forget(BaseModel):
    """The domain's forget spans bear no loss (`mask`), or their ids are replaced as well (`hide`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["mask", "hide"]


class KeepShare(BaseModel):
    """Of the domain's text that shows the attribute, this share of the training tokens stays (paper 2: 0.10)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["keep_share"]
    share: float = Field(ge=0, lt=1)


Action = Annotated[Forget | KeepShare, Field(discriminator="action")]


def _both_ways(name: str, examples: Iterable[Example], content: Callable[[Example], object]) -> None:
    """Raises ValueError for an example that is labelled twice, and for examples that are all of one label."""
    labels: dict[object, bool] = {}
    for one in examples:
        if labels.setdefault(content(one), one.forget) != one.forget:
            raise ValueError(f"{name}: one example has both labels: {content(one)!r}"[:200])
    if labels and len(set(labels.values())) == 1:
        raise ValueError(f"{name}: give at least one example that falls under the policy and one that does not")


class PolicyDefinition(BaseModel):
    """A policy in words (arXiv 2601.21571, C.1): what is to be forgotten, and what near it is to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Literal["capability", "attribute"]
    """capability: what a model shall not know; attribute: a manner, such as toxicity, of which a share is kept so that
    it can be recognised and steered (arXiv 2505.04741)."""
    description: Text
    include: tuple[Text, ...] = Field(min_length=1)
    exclude: tuple[Text, ...] = ()
    examples: Examples = Examples()
    documents: KnownDocuments
    actions: dict[str, Action] = Field(min_length=1)
    """Domain of the data to what is done with it; `default` holds for every domain that is not named."""

    @model_validator(mode="after")
    def _actions_fit(self) -> Self:
        if "default" not in self.actions:
            raise ValueError("actions: name the action of the domain `default`")
        for domain, action in self.actions.items():
            if isinstance(action, Forget) != (self.kind == "capability"):
                fits = "mask or hide" if self.kind == "capability" else "keep_share"
                raise ValueError(f"actions.{domain}: {action.action} does not fit a policy of kind {self.kind}: {fits}")
        return self

    @property
    def definition_id(self) -> str:
        """16 hex digits of the SHA-256 of the definition's content."""
        return content_id(self.model_dump(mode="json"))


def load_definition(reference: str) -> PolicyDefinition:
    """Reads a policy file. Raises ConfigError as `load_config` does."""
    from tokensieve.jobs.config.load import load_section

    return load_section(PolicyDefinition, reference if "/" in reference else f"policies/{reference}")
