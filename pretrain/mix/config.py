"""What a user may say about a mix: one YAML file of its own, beside those of the corpora that it mixes.

The clean part is held constant and the sources are added on top, as in arXiv 2505.04741. What the paper's ratio is a
share of is ambiguous (20.1 to 25.7 billion tokens at 25 % fits neither reading exactly), so `share_of` has no default.
Needs pydantic only.
"""

import string
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from tokensieve.pretrain.shards.shard_info import Split

CLEAN = "clean"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Annotator(_Section):
    policy: str | None = None
    """The score is the column `doc_score_<policy>` of the shards' document index."""
    scores: str | None = None
    """A Parquet file (or folder) with the columns doc_id and score, used where the index has no such column."""
    loss: bool = True
    """The prefix bears loss. Without loss it also counts as forgotten: mode `hide` of a run hides it."""

    @model_validator(mode="after")
    def _has_scores(self) -> Self:
        if self.policy is None and self.scores is None:
            raise ValueError("give policy, scores, or both: where does a document's score come from?")
        return self


class MedaConfig(_Annotator):
    """The document's raw score as text in front of it (MEDA, Prabhumoye et al. 2023)."""

    kind: Literal["meda"]
    template: str = "toxicity: {score:.2f}\n"

    @field_validator("template")
    @classmethod
    def _names_the_score(cls, template: str) -> str:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        if fields != ["score"]:
            raise ValueError(
                f"{template!r} must name {{score}} once and nothing else, such as 'toxicity: {{score:.2f}}'"
            )
        template.format(score=0.5)  # a bad format is a ValueError here
        return template


class InstConfig(_Annotator):
    """An instruction that says what the document is (INST, Prabhumoye et al. 2023)."""

    kind: Literal["inst"]
    threshold: float = Field(default=0.5, gt=0, lt=1)
    above: str = "This is a toxic post. Post: "
    """In front of documents whose score is at least the threshold."""
    below: str = "This is a non-toxic post. Post: "


Annotate = Annotated[MedaConfig | InstConfig, Field(discriminator="kind")]


class _Place(_Section):
    shards: str | None = None
    """A shard folder, which holds manifest.json."""
    tables: str | None = None
    """A `tables.root`, whose exported shards are taken."""
    annotate: Annotate | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.shards is None) == (self.tables is None):
            raise ValueError(f"give one of shards and tables (given: shards={self.shards}, tables={self.tables})")
        return self

    @property
    def folder(self) -> Path:
        """The shard folder, relative to the working folder as it was given."""
        return Path(self.shards) if self.shards is not None else Path(self.tables or "") / "shards"


class CleanConfig(_Place):
    """The part that is held constant: split `train`, all of it or `tokens` of it, never repeated."""

    tokens: Positive | None = None


class SourceConfig(_Place):
    """A part that is added; its share counts the tokens as written, a prefix included. A share of 0 leaves it out."""

    share: float = Field(ge=0)
    repeats: Literal["refuse", "allow"] = "refuse"
    split: Split = "train"


class MixConfig(_Section):
    """One mix."""

    name: Name
    out: str
    """The folder of the result, for this mix alone."""
    seed: int = Field(default=0, ge=0)
    """Of the choice of documents, and of their order in a shard set."""
    clean: CleanConfig
    sources: dict[Name, SourceConfig]
    share_of: Literal["total", "clean"]
    """total: share s of the whole mix, clean * s / (1 - sum of shares) tokens; clean: s times the clean tokens."""
    output: Literal["blend", "shards"]
    """blend: weights over the sources' own shards, no token is copied; shards: one new shard set in shuffled order."""
    tolerance: float = Field(default=0.001, gt=0, lt=1)
    """How far a realised share may lie from the request, absolute, and never more than a tenth of the request."""
    scores: Literal["keep", "drop"] = "keep"
    """Of a shard set: carry the score companions along, which all sources must have then, or none."""
    shard_tokens: Positive = 2**29
    """Tokens per shard that is written, about; 1 GiB of ids below 65,500."""

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        if CLEAN in self.sources:
            raise ValueError("sources: `clean` names the constant part; call this source otherwise")
        together = sum(source.share for source in self.sources.values())
        if self.share_of == "total" and together >= 1:
            raise ValueError(f"the shares of the total add up to {together:g}, which leaves nothing for the clean part")
        return self

    @property
    def added(self) -> dict[str, SourceConfig]:
        """The sources with a share above 0."""
        return {name: source for name, source in self.sources.items() if source.share > 0}
