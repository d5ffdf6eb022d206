"""Deciding again from stored scores, without a model: MB of text a CPU second, and 20 thresholds in one scan.

The scores are tiny's of a sample, repeated: in memory as Arrow batches, and as a table that Spark's verbs read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.scoring.child import Child
from tests.bench.scoring.classifiers import POLICY
from tests.bench.scoring.runs import Found, Run, in_turns, per_cpu_s, ratio, timed
from tests.bench.scoring.sample import Corpus, write_shards
from tests.bench.scoring.spark_over_bare import job
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.deciding.decide_rows import decide_rows
from tokensieve.udfs.deciding.rule import Rule
from tokensieve.udfs.deciding.sweep import sweep_rows

BATCH_ROWS = 1024  # as Spark sends them
TEXT_MB = 200  # of the repeated scores: enough that Spark's fixed seconds do not decide
MANY = (*(at / 20 for at in range(1, 20)), 0.99)
ONE = (0.5,)
RULES = {
    "threshold only": Rule(threshold=0.5),
    "all steps": Rule(
        threshold=0.8, low_threshold=0.4, min_tokens=4, bridge_tokens=8, dilate_tokens=2, drop_share=0.99
    ),
}


def decisions(corpus: Corpus, bundle: Bundle, folder: Path, tokens: int, rounds: int) -> Found:
    """`remask_mb_per_core_s` and `sweep20_over_one`, each of the slower rule, read from Parquet; and both verbs."""
    source, root = folder / "source", folder / "tables"
    config = job(source, root, bundle, write_shards(corpus.sample(tokens, "decisions"), source, 4))
    with Child("tests.bench.scoring.spark_driver", log=folder / "driver.log") as driver:
        driver.ask(what="run", verb="score", config=config)
        once = text_mb(batches(tables(root)))
        driver.ask(what="multiply", config=config, times=max(1, round(TEXT_MB / once)))
        files = tables(root)
        found = _in_memory(files, rounds)
        _verbs(found, driver, config, text_mb(batches(files)), rounds)
    return found


def _in_memory(files: Sequence[Path], rounds: int) -> Found:
    held, found = batches(files), Found()
    size = text_mb(held)
    ways: dict[str, Callable[[], Run]] = {}
    for name, rule in RULES.items():
        ways |= {
            f"{name}: mask, read": lambda rule=rule: timed(lambda: _mask(batches(files), rule, size)),
            f"{name}: mask, in memory": lambda rule=rule: timed(lambda: _mask(held, rule, size)),
            f"{name}: sweep of 20, read": lambda rule=rule: timed(lambda: _sweep(batches(files), rule, MANY, size)),
            f"{name}: sweep of 1, read": lambda rule=rule: timed(lambda: _sweep(batches(files), rule, ONE, size)),
            f"{name}: sweep of 20, in memory": lambda rule=rule: timed(lambda: _sweep(held, rule, MANY, size)),
            f"{name}: sweep of 1, in memory": lambda rule=rule: timed(lambda: _sweep(held, rule, ONE, size)),
        }
    runs = in_turns(ways, rounds)
    found.add("MB of text", runs)
    found.ratios = {
        "remask_mb_per_core_s": min(per_cpu_s(runs[f"{name}: mask, read"]) for name in RULES),
        "sweep20_over_one": max(
            1 / ratio(runs[f"{name}: sweep of 20, read"], runs[f"{name}: sweep of 1, read"]) for name in RULES
        ),
    }
    for name in RULES:
        over = 1 / ratio(runs[f"{name}: sweep of 20, in memory"], runs[f"{name}: sweep of 1, in memory"])
        found.lines.append(f"{name}: sweep of 20 over one, nothing read: {over:.2f}")
    return found


def _verbs(found: Found, driver: Child, config: dict[str, Any], size: float, rounds: int) -> None:
    """`mask` at a new threshold each time, and `sweep`, on the multiplied table; text is copied by `mask` alone."""
    numbers = iter(range(10_000))

    def verb(name: str, sweep: Sequence[float] = ONE) -> Run:
        new = 0.5 + next(numbers) / 100_000
        policy = config["policies"][POLICY] | {"rule": {"threshold": new}}
        thresholds = [one + new / 1000 for one in sweep]
        changed = config | {"policies": {POLICY: policy}, "sweep": {"thresholds": thresholds}}
        said = driver.ask(what="run", verb=name, config=changed)
        return Run(amount=size, cpu_s=said["cpu_s"], wall_s=said["wall_s"])

    ways = {
        "verb mask": lambda: verb("mask"),
        "verb sweep of 20": lambda: verb("sweep", MANY),
        "verb sweep of 1": lambda: verb("sweep", ONE),
    }
    runs = in_turns(ways, rounds)
    found.add(f"Spark, MB of text ({size:.0f} MB)", runs)
    found.ratios["remask_spark_mb_per_core_s"] = per_cpu_s(runs["verb mask"])
    found.ratios["sweep20_over_one_spark"] = 1 / ratio(runs["verb sweep of 20"], runs["verb sweep of 1"], "wall_s")


def tables(root: Path) -> list[Path]:
    """The files of the scores table."""
    return sorted((root / "scores").rglob("*.parquet"))


def batches(files: Sequence[Path]) -> list[pa.StructArray]:
    """The policy's column of a scores table, as batches."""
    parts = [pq.read_table(file, columns=[POLICY], use_threads=False).to_batches(BATCH_ROWS) for file in files]
    return [batch.column(0) for some in parts for batch in some]


def text_mb(columns: Sequence[pa.StructArray]) -> float:
    """MB of UTF-8 text that the scores are of."""
    from tokensieve.udfs.deciding.decide_rows import policy_scores

    return sum(int(policy_scores(column).byte_offset_T1[-1]) for column in columns) / 1e6


def _mask(columns: Sequence[pa.StructArray], rule: Rule, size: float) -> float:
    for column in columns:
        decide_rows({POLICY: (rule, 0.5)}, [column])
    return size


def _sweep(columns: Sequence[pa.StructArray], rule: Rule, thresholds: Sequence[float], size: float) -> float:
    parts = (pa.RecordBatch.from_arrays([column], names=[POLICY]) for column in columns)
    for _ in sweep_rows({POLICY: rule}, thresholds, parts):
        pass
    return size
