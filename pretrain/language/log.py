"""`log.jsonl` of one training run: a line for every logged step and for every held-out measurement."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pretrain.hashed_file import replace_file


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One optimiser step: mean loss in nats a target, gradient norm before clipping, tokens read so far."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class HeldoutLine:
    """Held-out loss in nats a target after so many steps: by source, and their mean weighted by share."""

    step: int
    heldout_loss: float
    heldout: dict[str, float]


class Log:
    """Appends lines; opening it drops those of steps after `step`, which a resumed run does again."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = [line for line in old if _step(line) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join(f"{line}\n" for line in kept).encode())

    def write(self, line: StepLine | HeldoutLine) -> None:
        """Appends one line."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(line), allow_nan=False) + "\n")


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # half a line, from a killed run
        return float("inf")
