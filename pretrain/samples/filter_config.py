"""How a training run treats forget tokens: section `pretrain.filter`. None of it needs shards to be written again.

What does need another export: the tokenizer, the rule behind the mask (`tokensieve mask`), action `drop`, and
the score companion itself. Needs pydantic only.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


class LabelNoise(BaseModel):
    """Flips of the filter's decisions, one draw per token, seeded by document id (arXiv 2601.21571, label noise)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    miss: Fraction = 0.0
    """Share of forget tokens that are treated as retain tokens."""
    false_alarm: Fraction = 0.0
    """Share of retain tokens that are treated as forget tokens."""
    seed: int = Field(default=0, ge=0)


class FilterConfig(BaseModel):
    """Section `pretrain.filter`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["mask", "hide", "none"] = "mask"
    """mask: forget labels bear no loss; hide: their ids are replaced by the hidden token as well; none: no filter."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """Forget the tokens whose stored score is at least this probability, instead of those of the exported mask."""
    forget_share: float | None = Field(default=None, gt=0, lt=1)
    """Choose the threshold so that about this share of the corpus's tokens is forgotten."""
    noise: LabelNoise | None = None
    from_step: int | None = Field(default=None, ge=0)
    """Filter from this step on; steps before it train on every token (arXiv 2601.21571, delayed filtering)."""
    from_fraction: Fraction | None = None
    """The same as a fraction of the run's steps."""
    align: Literal["label", "input"] = "label"
    """label: the mask of the predicted token. input: that of the token read, as the paper's released code has it; for
    comparisons with that code only."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for first, second in (("threshold", "forget_share"), ("from_step", "from_fraction")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise ValueError(f"give one of {first} and {second}, not both")
        return self

    @property
    def uses_scores(self) -> bool:
        """True when the score companion decides instead of the exported mask."""
        return self.threshold is not None or self.forget_share is not None
