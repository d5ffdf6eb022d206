"""The model of a pretraining run, as a user may describe it. Needs pydantic only."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]


class ModelConfig(BaseModel):
    """The paper's family (arXiv 2601.21571): pre-RMSNorm, squared ReLU, no bias, tied embeddings, no dropout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
