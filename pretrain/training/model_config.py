"""The model of a pretraining run, as a user may describe it, and what follows from that by arithmetic alone.

Two families. `paper` (arXiv 2601.21571): pre-RMSNorm, squared ReLU, tied embeddings. `llama`: pre-RMSNorm, SwiGLU,
optional grouped-query attention, tied or untied. Neither has biases or dropout. Needs pydantic only.
"""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
SWIGLU_MULTIPLE = 64
NORM_EPSILON = 1e-5


class MupConfig(BaseModel):
    """Maximal update parametrisation: rates and scales are those of `base_width` and follow the width from there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_width: Positive = 256


class ModelConfig(BaseModel):
    """A decoder of one of the two families; without `mup` in the standard parametrisation (scores / sqrt(head))."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["paper", "llama"] = "paper"
    layers: Positive
    hidden_size: Positive
    heads: Positive
    kv_heads: Positive | None = None
    """Key and value heads, llama only; each serves heads / kv_heads query heads. None: as many as heads."""
    ffn_hidden_size: Positive | None = None
    """None: 4 * hidden_size; llama: 8/3 * hidden_size up to a multiple of 64, about as many parameters."""
    position: Literal["rope", "none"] = "rope"
    """none: no positions but the causal mask, which is what the released code of arXiv 2601.21571 amounts to."""
    rope_base: Positive = 10_000
    tie_embeddings: bool = True
    init_std: float = Field(default=0.02, gt=0)
    mup: MupConfig | None = None
    kernels: Literal["local", "transformer_engine"] = "local"
    """local: torch's own, the same model on CPU and GPU. transformer_engine needs that package and CUDA."""

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.heads

    @property
    def query_groups(self) -> int:
        """Key and value heads."""
        return self.kv_heads or self.heads

    @property
    def gated(self) -> bool:
        """True when the FFN multiplies by a gate (SwiGLU) and so has three matrices."""
        return self.family == "llama"

    @property
    def ffn(self) -> int:
        """Width inside the FFN."""
        if self.ffn_hidden_size is None and self.gated:
            return -(-8 * self.hidden_size // (3 * SWIGLU_MULTIPLE)) * SWIGLU_MULTIPLE
        return self.ffn_hidden_size or 4 * self.hidden_size

    @property
    def softmax_scale(self) -> float:
        """What q . k is multiplied by: 1 / sqrt(head size), with muP 1 / head size."""
        return 1.0 / self.head_size if self.mup else 1.0 / math.sqrt(self.head_size)

    @property
    def width_multiplier(self) -> float:
        """muP's m: width over base width; 1 without muP."""
        return self.hidden_size / self.mup.base_width if self.mup else 1.0

    def parameters(self, padded_vocab_size: int) -> int:
        """All parameters: embedding (and output matrix), per layer attention, FFN and two norms, the final norm."""
        width = self.hidden_size
        attention = 2 * width * width + 2 * width * self.query_groups * self.head_size
        layer = attention + (3 if self.gated else 2) * width * self.ffn + 2 * width
        return (1 if self.tie_embeddings else 2) * padded_vocab_size * width + self.layers * layer + width

    def flops_per_token(self, padded_vocab_size: int, seq_length: int) -> float:
        """Forward and backward FLOPs of one token: 6 N + 12 L d T (arXiv 2204.02311, appendix B).

        6 for every parameter that multiplies (an untied input embedding is only looked up), 12 * layers * width *
        seq_length for attention's scores and values. By that convention the causal half is not discounted.
        The compute axis of arXiv 2601.21571 is 6 N D with N = `parameters` and no attention term.
        """
        looked_up = 0 if self.tie_embeddings else padded_vocab_size * self.hidden_size
        multiplying = self.parameters(padded_vocab_size) - looked_up
        return 6.0 * multiplying + 12.0 * self.layers * self.hidden_size * seq_length

    def split_reasons(self, *, tensor: int, pipeline: int, padded_vocab_size: int) -> list[str]:
        """Why the model cannot be cut into `tensor` x `pipeline` parts; empty when it can."""
        shares = {
            "heads": self.heads,
            "kv_heads": self.query_groups,
            "ffn_hidden_size": self.ffn,
            "the padded vocabulary": padded_vocab_size,
        }
        reasons = [
            f"{name} {value} is not a multiple of parallel.tensor {tensor}"
            for name, value in shares.items()
            if value % tensor
        ]
        if self.layers % pipeline:
            reasons.append(f"layers {self.layers} is not a multiple of parallel.pipeline {pipeline}")
        return reasons

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.position == "rope" and self.head_size % 2:
            raise ValueError(f"rope needs an even head size, {self.hidden_size} / {self.heads} is odd")
        if self.heads % self.query_groups:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        return self

    @model_validator(mode="after")
    def _paper_is_the_paper(self) -> Self:
        if self.family == "paper" and (self.kv_heads is not None or not self.tie_embeddings):
            raise ValueError("family paper has tied embeddings and no kv_heads; set family to llama for these")
        return self
