"""What a user may say about the pretraining of an encoder: the whole of a file in `conf/encoders/`.

Needs pydantic only. The optimiser has the settings of `pretrain/training/config.py`, whose defaults are the paper's for
language models (arXiv 2601.21571); a constant rate is `min_lr_ratio: 1`, `warmup_fraction: 0`.
"""

import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.training.config import OptimizerConfig, Positive

Value = str | bool | int
Objective = Literal["left", "right", "masked"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One source of documents. Paths are relative to the current folder.

    Attributes:
        name: what logs and the card call it.
        path: Parquet files by a pattern (`shards/*.parquet`), or a folder of exported Megatron shards.
        share: share of the training tokens that come from here, whatever the size of the source.
        text: the text column. sidecar: a Parquet table with a row for each document, found by column `id`.
        where, unless: a document is read if each column of `where` has one of its values and no column of `unless`
            does; columns of the sidecar where there is one, else of the files.
        license_column: where each document's licence stands, for the card. license: the licence of all of them.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    path: str
    share: float = Field(gt=0, le=1)
    text: str = "text"
    id: str = "id"
    sidecar: Path | None = None
    where: dict[str, tuple[Value, ...]] = Field(default={})
    unless: dict[str, tuple[Value, ...]] = Field(default={})
    license_column: str | None = None
    license: str | None = None

    @model_validator(mode="after")
    def _one_kind_of_licence(self) -> Self:
        if self.license and self.license_column:
            raise ValueError("give license for the whole source or license_column for its documents, not both")
        return self


class VocabularyConfig(_Section):
    """A byte-level BPE tokenizer to be trained: its size, and how many documents of each source it is learned from."""

    size: int = Field(default=8192, ge=257)
    documents: Positive = 20_000


class ShapeConfig(_Section):
    """Shape of a half, or of the masked model (`TransformerConfig` without what the objective and the data decide)."""

    dim: Positive
    layers: Positive
    heads: Positive
    hidden: Positive
    rope_base: float = Field(default=10_000.0, gt=1)

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} must be a multiple of twice the {self.heads} heads (rotary pairs)")
        return self

    def parameters(self, vocabulary: int) -> int:
        """Parameters of one transformer; the embedding is also the output layer."""
        return vocabulary * self.dim + self.outside_embedding()

    def outside_embedding(self) -> int:
        """Those of the blocks and norms: attention, two feed-forward matrices and two norms a block."""
        return self.layers * (4 * self.dim**2 + 2 * self.dim * self.hidden + 2 * self.dim) + self.dim


class BatchConfig(_Section):
    """Sizes in tokens: the longest piece of a document, an optimiser step, a microbatch that fits the memory."""

    context: Annotated[int, Field(ge=2)] = 1024
    step_tokens: Positive
    microbatch_tokens: Positive

    @model_validator(mode="after")
    def _a_piece_fits(self) -> Self:
        for name in ("step_tokens", "microbatch_tokens"):
            if getattr(self, name) < self.context:
                raise ValueError(f"{name} {getattr(self, name)} is less than one piece of context {self.context}")
        return self


class BudgetConfig(_Section):
    """How long each half is trained: `tokens`, or `tokens_per_parameter` (the paper's biLM: 80, embedding counted)."""

    tokens: Positive | None = None
    tokens_per_parameter: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.tokens is None) == (self.tokens_per_parameter is None):
            raise ValueError("give exactly one of tokens and tokens_per_parameter")
        return self

    def steps(self, parameters: int, step_tokens: int) -> int:
        """Optimiser steps, at least one."""
        tokens = self.tokens or (self.tokens_per_parameter or 0) * parameters
        return max(1, math.ceil(tokens / step_tokens))


class MaskedConfig(_Section):
    """Masked language modelling (arXiv 2601.21571): every chosen token is replaced by the mask token.

    `token`: the mask's literal in the tokenizer; None adds an id beyond its vocabulary.
    """

    rate: float = Field(default=0.15, gt=0, lt=1)
    token: str | None = None


class HeldoutConfig(_Section):
    """Documents that no step reads: those whose content hash falls in `share`; of each source, up to `tokens`."""

    share: float = Field(default=0.02, gt=0, lt=1)
    tokens: Positive = 200_000
    every: Positive = 500


class EncoderConfig(_Section):
    """A recipe: `tokensieve pretrain encoder --config FILE`.

    Attributes:
        out: the encoder's folder. runs: folder for checkpoints and logs, in `left`, `right`, `masked`.
        cache: folder for token caches and trained tokenizers, named by content and shared by recipes.
        half: of a biLM, train both halves one after the other and join them, one alone, or only join.
        margin: tokens at a window's inner edges that the finished encoder's users discard; None: context / 8.
        precision: auto is bf16 (over float32 weights) on CUDA and fp32 on the CPU.
    """

    name: str
    out: Path
    runs: Path
    cache: Path
    kind: Literal["bilm", "masked"]
    half: Literal["both", "left", "right", "join"] = "both"
    seed: int = Field(default=0, ge=0)
    threads: Positive = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    tokenizer: Path | None = None
    vocabulary: VocabularyConfig | None = None
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    model: ShapeConfig
    batch: BatchConfig
    budget: BudgetConfig
    optimizer: OptimizerConfig
    masked: MaskedConfig = MaskedConfig()
    heldout: HeldoutConfig = HeldoutConfig()
    checkpoint_every: Positive = 500
    log_every: Positive = 10
    margin: int | None = Field(default=None, ge=0)

    @property
    def window_margin(self) -> int:
        return self.batch.context // 8 if self.margin is None else self.margin

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What this run trains."""
        if self.kind == "masked":
            return ("masked",)
        return {"both": ("left", "right"), "left": ("left",), "right": ("right",), "join": ()}[self.half]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tokenizer is None) == (self.vocabulary is None):
            raise ValueError("give exactly one of tokenizer (a file) and vocabulary (to train one)")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have one name: {names}")
        total = sum(source.share for source in self.sources)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the sources sum to {total:g}, not to 1")
        if self.kind == "masked" and self.half != "both":
            raise ValueError("half is for a biLM; a masked model has no halves")
        if 2 * self.window_margin >= self.batch.context:
            raise ValueError(f"margin {self.window_margin} must be less than half the context {self.batch.context}")
        return self
