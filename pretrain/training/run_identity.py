"""What makes a run the same run: how far it is, and which settings a resumed run may change.

Needs pydantic only. The order of samples follows from corpus, seed, batch and length; how processes are cut, what is
measured and how often something is written do not enter, so a run may go on with other hardware.
"""

from pydantic import BaseModel, ConfigDict, JsonValue

from pretrain.errors import TrainingError
from pretrain.training.config import PretrainConfig

FREE = (
    "parallel",
    "micro_batch_size",
    "validation",
    "checkpoint",
    "device",
    "loader_workers",
    "tensorboard",
    "log_every",
    "peak_flops",
    "out",
    "shards",
    "preset",
)


class Progress(BaseModel):
    """How far a run is. Sums over the steps done; tokens are labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps_done: int = 0
    skipped_steps: int = 0
    loss_tokens: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    seconds: float = 0.0


def identity(config: PretrainConfig) -> dict[str, JsonValue]:
    """The settings that a resumed run must share."""
    return config.model_dump(mode="json", exclude=set(FREE))


def refuse_another_run(
    config: PretrainConfig, corpus_id: str, then: dict[str, JsonValue], corpus_then: str, where: str
) -> None:
    """Raises TrainingError when a checkpoint is of another corpus or of other settings, each with both values."""
    if corpus_id != corpus_then:
        raise TrainingError(f"{where} was trained on corpus {corpus_then}, the shards are now {corpus_id}; use those")
    now = identity(config)
    differing = [f"{key}: then {then.get(key)}, now {now.get(key)}" for key in now if then.get(key) != now.get(key)]
    if differing:
        raise TrainingError(
            f"{where} belongs to a run with other settings ({'; '.join(differing)}); use them, or another pretrain.out"
        )
