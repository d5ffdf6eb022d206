"""Loss of a run's checkpoints, and of its final weights, on the run's evaluation sets.

Every complete checkpoint that is still there is loaded in turn; nothing is trained and no checkpoint is changed.
"""

import json
from dataclasses import asdict
from pathlib import Path

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.evaluate.compare_runs import Comparison, Row
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.records import ValidationRecord
from tokensieve.pretrain.training.run_identity import refuse_another_run, with_own_manifest
from tokensieve.pretrain.training.train import built_run


def evaluate(config: PretrainConfig, shards: Path, out: Path) -> Comparison:
    """Measures and writes `out/evaluation.json`. Raises TrainingError without anything to measure or measure on."""
    rows: list[Row] = []
    config = with_own_manifest(config, shards, out)
    with built_run(config, shards, out) as run:
        from tokensieve.pretrain.training import checkpoint

        for complete in checkpoint.every_complete(out):
            marker = complete.marker
            refuse_another_run(config, run.corpus.id, marker.settings, marker.corpus_id, str(complete.path))
            run.resume(complete)
            rows.append(
                _row(complete.path.name, run.progress.steps_done, run.progress.loss_tokens, config, run.measure())
            )
        if (out / "train.json").is_file():
            result = json.loads((out / "train.json").read_text())
            run.load_weights(out / "model.safetensors")
            rows.append(_row("final", result["steps"], result["loss_tokens"], config, run.measure()))
        first = run.first_process
    if not rows:
        raise TrainingError(f"{out}: neither a complete checkpoint nor a finished run; train first")
    if not rows[0].losses:
        raise TrainingError(
            f"{shards}: no split `valid` and no pretrain.validation.sets; export with export.splits.valid, or name sets"
        )
    table = Comparison(rows=tuple(rows))
    if first:
        content = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
        replace_file(out / "evaluation.json", content.encode())
    return table


def _row(name: str, steps: int, loss_tokens: int, config: PretrainConfig, found: list[ValidationRecord]) -> Row:
    return Row(
        name=name,
        steps=steps,
        tokens=steps * config.global_batch_size * config.seq_length,
        loss_tokens=loss_tokens,
        losses={record.set: record.loss for record in found},
    )
