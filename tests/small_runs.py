"""Text that a tiny model learns something of within seconds, and the settings of a run on it."""

from typing import Any

from tokensieve.pretrain.training.config import PretrainConfig

# Rows that count upwards: the next id follows from this one. Labels 6 to 10 of each row are to be forgotten.
COUNTING = [([*((start + i) % 50 + 1 for i in range(20)), 0], [1] * 5 + [0] * 5 + [1] * 11) for start in range(80)]
FORGET_SHARE = 5 / 21
SMALL: dict[str, Any] = {
    "seq_length": 16,
    "micro_batch_size": 2,
    "global_batch_size": 4,
    "model": {"layers": 1, "hidden_size": 16, "heads": 2},
    "steps": 12,
}


def small_run(**changes: Any) -> PretrainConfig:
    """A run of 12 steps of 4 samples, with changes."""
    return PretrainConfig.model_validate(SMALL | changes)
