"""Verb `export`: table `masked` in, Megatron shards with a loss mask out, `manifest.json` last.

Shards of source files that have not changed since the export before stay; tasks write the others, each whole shards.
Split, order and shard follow from hashes of doc_id: same table, same groups, same bytes. Also an application:
spark-submit jobs/export.py.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.export import ExportConfig
from tokensieve.jobs.exporting.copy import copy_shards
from tokensieve.jobs.exporting.documents import Documents
from tokensieve.jobs.exporting.groups import Regrouping, regroup
from tokensieve.jobs.exporting.new_manifest import NewManifest
from tokensieve.jobs.exporting.tokenizer import tokenizer_info
from tokensieve.jobs.exporting.unchanged_groups import standing
from tokensieve.jobs.policies.masked_rows import masked_commits
from tokensieve.jobs.policies.rules import RuleSet
from tokensieve.jobs.releases.still_needed import manifests_to_keep
from tokensieve.jobs.tables.table import Commit, Format
from tokensieve.pretrain.shards.manifest import SPLITS, ExportSettings, Inputs, Manifest
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


def run(config: "Config", spark: "SparkSession", *, rules: RuleSet | None = None) -> dict[str, Any]:
    """Exports what has changed of the masked table and returns the counts.

    Where nothing has changed, Spark runs no job and nothing is written. `rules`: those of the masked table, where the
    caller has them; None: reads them. Raises ConfigError, InputError, BalanceError.
    """
    folder = config.shards
    masked, scores = masked_commits(config.tables)
    documents = Documents.of(config.tables, spark, masked, config.export.scores, rules)
    tokenizer, info = tokenizer_info(config.export)
    inputs = _inputs(config.export, config.tables.format, documents, scores)
    before = None if config.export.whole else standing(folder, config.tables.store, info, inputs)
    groups, damaged = (None, frozenset()) if before is None else (before.groups, before.damaged)
    todo = regroup(groups, documents.sources, damaged, config.export.group_text_bytes)
    if before and todo.nothing_to_do and before.is_of(folder, inputs, info):
        manifest = before.manifest
    else:
        keep = partial(manifests_to_keep, config)
        new = NewManifest(folder, config.export, keep, documents, tokenizer, info, inputs, before, todo)
        manifest = new.make()
    copied = (
        {} if config.export.to is None else {"copied": copy_shards(folder, config.export.to, config.export.storage)}
    )
    return _result(manifest, todo, tokenizer) | copied


def _inputs(export: ExportConfig, format: Format, documents: Documents, scores: Commit) -> Inputs:
    masked, policies = documents.masked, documents.rules.policies
    table = {"path": "masked", "format": format, "version": masked.batch}
    table["scored_by"] = str(scores.inputs["scored_by"])
    return Inputs(
        rule_id=str(masked.inputs["rule_id"]),
        policies={name: entry.definition_id for name, entry in policies.items()},
        bundles={name: entry.bundle_id for name, entry in policies.items()},
        source_table=table if masked.ledger is None else table | {"ledger": masked.ledger},
        seed=export.seed,
        scores=export.scores,
        settings=ExportSettings(
            valid=export.splits.valid,
            test=export.splits.test,
            splits_seed=export.splits.seed,
            shard_text_bytes=export.shard_text_bytes,
            group_text_bytes=export.group_text_bytes,
        ),
    )


def _result(manifest: Manifest, todo: Regrouping, tokenizer: ByteTokenizer) -> dict[str, Any]:
    splits = {split: sum(shard.documents for shard in manifest.shards_of(split)) for split in SPLITS}
    groups = 0 if manifest.groups is None else manifest.groups.groups
    return {
        "manifest": manifest.id,
        "shards": len(manifest.shards),
        "groups": {"kept": len(todo.kept), "written": groups - len(todo.kept), "gone": todo.gone},
        "tokens": manifest.tokens,
        "loss_tokens": manifest.loss_tokens,
        "exported": manifest.documents,
        "splits": splits,
        "tokenized_by": tokenizer.backend,
        "passed_over": tokenizer.passed_over,
    }


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("export")
