"""What makes two runs the same run: a checkpoint is continued only by a run that would have written it.

Device, precision, threads, microbatch size and how often to log, evaluate and save may change between the two.
"""

from pydantic import BaseModel, ConfigDict

from pretrain.errors import TrainingError
from pretrain.language.config import MaskedConfig, Objective, ShapeConfig
from pretrain.training.config import OptimizerConfig


class ResumeError(TrainingError):
    """A folder's checkpoint belongs to another run."""


class RunIdentity(BaseModel):
    """One training run of one objective.

    Attributes:
        vocabulary: rows of the embedding, padding counted. mask_id: the mask token's id, masked models only.
        sources: content id and share of each source, in the order of the configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Objective
    seed: int
    tokenizer_sha256: str
    vocabulary: int
    mask_id: int | None
    model: ShapeConfig
    context: int
    step_tokens: int
    steps: int
    optimizer: OptimizerConfig
    masked: MaskedConfig | None
    sources: tuple[tuple[str, float], ...]
    heldout_share: float

    def require(self, other: "RunIdentity", where: str) -> None:
        """Raises ResumeError that names every field in which the run that wrote `where` differs from this one."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        wrong = [f"{key} was {theirs[key]}, is {mine[key]}" for key in mine if mine[key] != theirs[key]]
        if wrong:
            raise ResumeError(
                f"{where} belongs to another run: {'; '.join(wrong)}; put the settings back, or "
                "give another folder as `runs`"
            )
