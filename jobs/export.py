"""Verb `export`: table `masked` in, Megatron shards with a loss mask out, `manifest.json` last.

Each task writes whole shards to a staging folder; the driver renames what the winning attempts report, so retries and
killed runs leave nothing in a manifest. Split, order and shard follow from hashes of doc_id: same table, same bytes.
Also an application: spark-submit jobs/export.py.
"""

import json
import shutil
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import ConfigError, InputError
from jobs.exporting.config import ExportConfig
from jobs.exporting.copy import copy_shards
from jobs.exporting.layout import measure, ordered
from jobs.exporting.publish import check_balance, publish, sweep
from jobs.exporting.tokenizer import tokenizer_info
from jobs.exporting.write import DOC_SCORE, ShardReport, ShardTask, write_shards
from jobs.mask import counts as masked_counts
from jobs.mask import decided, load_rules
from jobs.policies import RuleSet
from pretrain.hashed_file import replace_file
from pretrain.shards.manifest import SPLITS, Inputs, Manifest
from udfs.pretrain_tokens import ScoreCompanion
from udfs.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config import Config


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Exports the masked table and returns the counts. The same export again changes nothing but times of files.

    Raises ConfigError, InputError, BalanceError.
    """
    masked = masked_counts(config.tables, spark)
    tokenizer, info = tokenizer_info(config.export)
    rules = load_rules(config.tables, masked["rule_id"])
    companion = _companion(config.export, rules)
    layout = measure(config.tables.table("masked").read(spark).where("action != 'drop'"), config.export)
    rows = ordered(_documents(config, spark, rules, companion), layout, config.export)
    folder = config.tables.shards
    staging = _staging(folder)
    task = ShardTask(
        staging=str(staging),
        tokenizer=str(staging / info.file),
        backend=tokenizer.backend,
        info=info,
        hiding=frozenset(name for name, entry in rules.policies.items() if entry.rule.action == "hide"),
        companion=companion,
        doc_scores=tuple(name for name in rules.policies if DOC_SCORE + name in rows.columns),
    )
    try:
        replace_file(staging / info.file, tokenizer.data)
        written = _write(rows, task, tokenizer, config.export)
        documents = masked["documents"]
        check_balance(written, layout, documents["keep"] + documents["mask"] + documents["hide"])
        shards = tuple(publish(folder, layout, report) for report in written)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    replace_file(folder / info.file, tokenizer.data)
    manifest = Manifest(
        tokenizer=info,
        shards=shards,
        inputs=_inputs(config, masked, rules),
        documents=sum(shard.documents for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        loss_tokens=sum(shard.loss_tokens for shard in shards),
    )
    manifest.save(folder)
    sweep(folder, manifest)
    copied = {} if config.export.to is None else {"copied": copy_shards(folder, config.export.to)}
    return _result(manifest, masked, tokenizer) | copied


def _companion(export: ExportConfig, rules: RuleSet) -> ScoreCompanion | None:
    """Whose scores go along, and what the other policies forget beside them. Raises ConfigError."""
    if export.scores is None:
        return None
    if export.scores not in rules.policies:
        raise ConfigError(f"export.scores: no policy {export.scores!r}, only {', '.join(rules.policies)}")
    if rules.policies[export.scores].rule.action == "hide":
        raise ConfigError(
            f"export.scores: policy {export.scores} hides, and ids that are hidden in the shards cannot come back at a "
            "higher threshold; set its rule's action to mask and choose pretrain.filter.mode=hide"
        )
    others = {name: (entry.in_force, entry.threshold) for name, entry in rules.policies.items()}
    del others[export.scores]
    return ScoreCompanion(policy=export.scores, others=others)


def _documents(
    config: "Config", spark: "SparkSession", rules: RuleSet, companion: ScoreCompanion | None
) -> "DataFrame":
    """What the tasks need of every document that is not dropped.

    The masked table holds no token scores. Where they are asked for, its rows are made again from the scores table that
    it was made from (`masked_counts` has checked that), so that the text is moved once and nothing is joined.
    """
    columns = ["doc_id", "text", "forget_spans", "source_file", "source_row"]
    if companion is None:
        rows = config.tables.table("masked").read(spark)
    else:
        rows = decided(config.tables.table("scores").read(spark), rules, config.source.columns.text)
        columns += [companion.policy, *companion.others]
    columns += [DOC_SCORE + name for name in rules.policies if DOC_SCORE + name in rows.columns]
    return rows.where("action != 'drop'").select(*columns)


def _staging(folder: Path) -> Path:
    for leftover in folder.glob("_staging-*"):  # of an export that was killed
        shutil.rmtree(leftover)
    staging = folder / f"_staging-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    return staging


def _write(rows: "DataFrame", task: ShardTask, tokenizer: ByteTokenizer, export: ExportConfig) -> list[ShardReport]:
    """Runs the tasks; returns one report per shard, as the attempts that Spark took for the result gave them."""
    reports = _reports(rows, task)
    differs = next((report.differs for report in reports if report.differs), None)
    if differs is None:
        return reports
    if export.backend != "auto":
        raise InputError(f"export.backend: {task.backend} makes other tokens than the reference: {differs}")
    tokenizer.use_reference(differs)
    return _reports(rows, replace(task, backend=tokenizer.backend))


def _reports(rows: "DataFrame", task: ShardTask) -> list[ShardReport]:
    collected = rows.mapInArrow(partial(write_shards, task), schema="report string").collect()
    reports = [ShardReport(**json.loads(row["report"])) for row in collected]
    return sorted(reports, key=lambda report: report.at)


def _inputs(config: "Config", masked: dict[str, Any], rules: RuleSet) -> Inputs:
    return Inputs(
        rule_id=masked["rule_id"],
        policies={name: entry.definition_id for name, entry in rules.policies.items()},
        bundles={name: entry.bundle_id for name, entry in rules.policies.items()},
        source_table={"path": "masked", "format": config.tables.format, "version": masked["batch"]},
        seed=config.export.seed,
        scores=config.export.scores,
    )


def _result(manifest: Manifest, masked: dict[str, Any], tokenizer: ByteTokenizer) -> dict[str, Any]:
    splits = {split: sum(shard.documents for shard in manifest.shards_of(split)) for split in SPLITS}
    return {
        "manifest": manifest.id,
        "shards": len(manifest.shards),
        "tokens": manifest.tokens,
        "loss_tokens": manifest.loss_tokens,
        "documents": masked["documents"],
        "exported": manifest.documents,
        "splits": splits,
        "tokenized_by": tokenizer.backend,
        "passed_over": tokenizer.passed_over,
    }


if __name__ == "__main__":
    from jobs.cli import application

    application("export")
