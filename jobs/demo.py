"""Verb `demo`: every verb once, on the bundled text, with checks of what they wrote and a short summary."""

import json
import time
from typing import TYPE_CHECKING, Any

import typer

from tokensieve.jobs import export, mask, report, score, trace
from tokensieve.jobs.errors import VerbError
from tokensieve.jobs.releases.training_runs import output_folder
from tokensieve.jobs.train import plan, train
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.verify import verify_shards

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


class DemoError(VerbError):
    """A check of the demo failed; the summary says which."""


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Runs all verbs and writes `<tables.root>/summary.json`. Raises DemoError when a check fails."""
    began = time.monotonic()
    for name, verb in (("score", score), ("mask", mask), ("export", export)):
        typer.echo(f"{name} ...", err=True)
        result = verb.run(config, spark)
    typer.echo("pretrain ...", err=True)
    typer.echo("\n".join(plan(config)["lines"]), err=True)
    trained = train(config)
    page = report.run(config, spark)
    masked = mask.counts(config.tables, spark)
    example = _example(config, spark)
    followed = trace.run(config, spark, example)
    summary = {
        "documents": masked["documents"],
        "tokens": result["tokens"],
        "loss_tokens": result["loss_tokens"],
        "forget_bytes": masked["forget_bytes"],
        "train": {key: trained[key] for key in ("steps", "first_loss", "last_loss")},
        "checks": _checks(config, masked, result, trained, page, followed),
        "seconds": round(time.monotonic() - began, 1),
    }
    (config.tables.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    failed = [name for name, passed in summary["checks"].items() if not passed]
    if failed:
        raise DemoError(f"checks failed: {', '.join(failed)}; see {config.tables.root}/summary.json")
    return summary | {"lines": _lines(config, summary, page, example)}


def _example(config: "Config", spark: "SparkSession") -> str:
    """The masked document with the largest forgotten share below one half: a good one to look at."""
    from pyspark.sql import functions as F

    rows = config.tables.table("masked").read(spark).where("action in ('mask', 'hide', 'keep')")
    share = F.col("forget_bytes") / F.octet_length("text")
    best = rows.orderBy((share < 0.5).desc(), share.desc(), "doc_id").select("doc_id").first()
    if best is None:
        raise DemoError("no document is left to show: every one was dropped or quarantined; loosen the rule")
    return best["doc_id"]


def _checks(
    config: "Config",
    masked: dict[str, Any],
    exported: dict[str, Any],
    trained: dict[str, Any],
    page: dict[str, Any],
    followed: dict[str, Any],
) -> dict[str, bool]:
    """What the demo promises, each read back from what was written."""
    folder = config.shards
    manifest = Manifest.load(folder)
    readers = [ShardReader(folder / shard.prefix) for shard in manifest.shards]
    documents = masked["documents"]
    parts = sum(count for action, count in documents.items() if action != "in")
    metrics = (output_folder(config) / "metrics.jsonl").read_text().splitlines()
    html = (config.tables.folder / "report.html").read_text()
    return {
        "documents_balance": documents["in"] == parts,
        "some_bytes_forgotten": masked["forget_bytes"] > 0,
        "shards_verify": not verify_shards(manifest, folder),
        "loss_tokens_match_the_mask": exported["loss_tokens"] == sum(int(r.loss_mask_T.sum()) for r in readers),
        "some_tokens_bear_no_loss": exported["loss_tokens"] < exported["tokens"],
        "every_step_recorded": len(metrics) == trained["steps"] >= 20,
        "loss_fell": trained["last_loss"] < trained["first_loss"],
        "report_has_no_script": page["documents"]["in"] == documents["in"] and "<script" not in html,
        "trace_reaches_a_sample": bool(followed["training"].get("pieces")),
    }


def _lines(config: "Config", summary: dict[str, Any], page: dict[str, Any], example: str) -> list[str]:
    documents, trained = summary["documents"], summary["train"]
    return [
        "documents   " + ", ".join(f"{name} {count}" for name, count in documents.items()),
        f"tokens      {summary['tokens']:,}, of which {summary['loss_tokens']:,} bear loss; "
        f"{summary['forget_bytes']:,} bytes of text forgotten",
        f"training    {trained['steps']} steps, loss {trained['first_loss']:.3f} -> {trained['last_loss']:.3f}",
        f"checks      {len(summary['checks'])} passed, {summary['seconds']} s",
        f"see         {config.tables.root}/report.html",
        f"then        tokensieve trace '{example}' --config demo tables.root={config.tables.root}",
    ]


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("demo")
