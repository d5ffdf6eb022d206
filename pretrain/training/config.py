"""What a user may say about a pretraining run: section `pretrain` of the project's YAML.

Needs pydantic only, so that every job can check the whole file. Widths and rates default to the paper's
(arXiv 2601.21571); sizes, batches and the budget have no default, since none would be right.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Section):
    """The paper's family (arXiv 2601.21571): pre-RMSNorm, squared ReLU, no bias, tied embeddings, no dropout."""

    layers: Positive
    hidden_size: Positive
    heads: Positive
    ffn_hidden_size: Positive | None = None  # None: 4 * hidden_size
    position: Literal["rope", "none"] = "rope"
    init_std: float = Field(default=0.02, gt=0)

    @property
    def ffn(self) -> int:
        return self.ffn_hidden_size or 4 * self.hidden_size

    def parameters(self, padded_vocab_size: int) -> int:
        """Parameters with tied embeddings; a layer has attention, two FFN matrices and two norms."""
        width = self.hidden_size
        layer = 4 * width * width + 2 * width * self.ffn + 2 * width
        return padded_vocab_size * width + self.layers * layer + width

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.position == "rope" and self.hidden_size // self.heads % 2:
            raise ValueError(f"rope needs an even head size, {self.hidden_size} / {self.heads} is odd")
        return self


class OptimizerConfig(_Section):
    """AdamW with linear warm-up and a cosine to `min_lr_ratio * lr` (arXiv 2601.21571)."""

    lr: float = Field(default=3e-3, gt=0)
    min_lr_ratio: Fraction = 0.1
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    clip_grad: float = Field(default=1.0, gt=0)


class PretrainConfig(_Section):
    """Section `pretrain`. The budget is one of `steps` and `tokens`; `budget_counts` says which tokens."""

    seq_length: Positive
    micro_batch_size: Positive
    global_batch_size: Positive
    model: ModelConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: Positive | None = None
    tokens: Positive | None = None
    budget_counts: Literal["unmasked", "total"] = "unmasked"
    epochs_allowed: Positive = 1
    loss_mask: Literal["mask", "none"] = "mask"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on cuda, fp32 on cpu
    seed: int = Field(default=0, ge=0)
    log_every: Positive = 10

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError(f"give exactly one of steps ({self.steps}) and tokens ({self.tokens})")
        return self
