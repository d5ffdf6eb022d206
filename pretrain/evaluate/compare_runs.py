"""Losses of several runs, or of one run's checkpoints, side by side.

Only losses on the same labels stand in one column: runs that measured other text under the same name are refused.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.training.records import finished


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run or checkpoint. `losses` by evaluation set; counts are labels."""

    name: str
    steps: int
    tokens: int
    loss_tokens: int
    losses: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows in the order given."""

    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """By the rows' names."""
        return {row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in self.rows}

    def lines(self) -> list[str]:
        """A table for a terminal."""
        sets = list(dict.fromkeys(name for row in self.rows for name in row.losses))
        width = max(len("run"), *(len(row.name) for row in self.rows))
        head = f"{'run':<{width}}  {'steps':>8}  {'tokens':>14}  {'loss-bearing':>14}"
        lines = [head + "".join(f"  {name:>10}" for name in sets)]
        for row in self.rows:
            cells = "".join(f"  {_shown(row.losses.get(name)):>10}" for name in sets)
            lines.append(f"{row.name:<{width}}  {row.steps:>8,}  {row.tokens:>14,}  {row.loss_tokens:>14,}{cells}")
        return lines


def compare(folders: list[Path]) -> Comparison:
    """The results of finished runs. Raises TrainingError: not finished, or losses on other text under one name."""
    rows, measured_on = [], {}
    for folder in folders:
        result = finished(folder)
        if result is None:
            raise TrainingError(
                f"{folder / 'train.json'}: no finished run here; see {folder}/metrics.jsonl, or `pretrain resume` it"
            )
        for record in result.validation:
            known = measured_on.setdefault(record.set, (record.of, record.labels, folder))
            if known[:2] != (record.of, record.labels):
                raise TrainingError(
                    f"{folder}: set {record.set} is {record.labels} labels of {record.of}, in {known[2]} "
                    f"it is {known[1]} of {known[0]}; give both runs the same pretrain.validation.sets"
                )
        rows.append(
            Row(
                name=folder.name,
                steps=result.steps,
                tokens=result.tokens,
                loss_tokens=result.loss_tokens,
                losses={record.set: record.loss for record in result.validation},
            )
        )
    return Comparison(rows=tuple(rows))


def _shown(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.4f}"
