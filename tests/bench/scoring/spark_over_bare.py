"""The Spark job against the bare loop on the same shards: two task slots, or two processes, with one thread each.

Wall seconds of both from loaded models: the job from a warmed session to committed tables, the loops from the word go
to the end of the slower one. Then the same job on a tenth of the shards, and what the driver holds in memory.
"""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.bench.report import median
from tests.bench.scoring.child import Child
from tests.bench.scoring.classifiers import POLICY
from tests.bench.scoring.runs import Found, Run, in_turns, ratio
from tests.bench.scoring.sample import Corpus, texts, write_shards
from tokensieve.udfs.bundles.bundle import Bundle

SHARDS, SLOTS = 20, 2
ROOM = 1.25  # of the largest shard in one task, so that each has a task of its own
FEW = 4_000  # tokens of the documents that warm up, and show what Spark costs whatever there is to score


def job(source: Path, root: Path, bundle: Bundle, shard_bytes: int) -> dict[str, Any]:
    """A corpus's configuration, a task a shard."""
    return {
        "source": {"path": str(source)},
        "tables": {"root": str(root)},
        "policies": {POLICY: {"definition": "medicine", "bundle": str(bundle.path.absolute())}},
        "score": {"device": "cpu", "partition_mb": ROOM * shard_bytes / 2**20},
    }


class SparkSide:
    """Scoring jobs in one session; every run is made in an empty folder, with workers that hold the model."""

    def __init__(self, driver: Child, folder: Path, bundle: Bundle, corpus: Corpus) -> None:
        self.driver, self.folder, self.bundle = driver, folder, bundle
        self.few = folder / "few"
        self.few_bytes = write_shards(corpus.sample(FEW, "few"), self.few, SLOTS)
        self.fixed: list[float] = []

    def run(self, source: Path, shard_bytes: int, tokens: int, watch: bool = False) -> tuple[Run, dict[str, float]]:
        """One scoring job; Python workers that idle are ended by Spark, so a small job comes first, twice."""
        self._score(self.few, self.few_bytes)
        self.fixed.append(self._score(self.few, self.few_bytes)["wall_s"])
        said = self._score(source, shard_bytes, watch)
        run = Run(amount=tokens, cpu_s=said["cpu_s"], wall_s=said["wall_s"])
        return run, said.get("driver_mb", {})

    def _score(self, source: Path, shard_bytes: int, watch: bool = False) -> dict[str, Any]:
        root = self.folder / "tables"
        shutil.rmtree(root, ignore_errors=True)
        command = job(source, root, self.bundle, shard_bytes)
        return self.driver.ask(what="run", verb="score", config=command, watch=watch)


class BareSide:
    """Two loops, each with every second shard."""

    def __init__(self, bundle: Bundle, stack: ExitStack, log: Path) -> None:
        arguments = ("tests.bench.scoring.bare", str(bundle.path))
        self.loops = [stack.enter_context(Child(*arguments, log=log)) for _ in range(SLOTS)]

    def run(self, source: Path) -> Run:
        files = sorted(map(str, source.glob("*.parquet")))
        began = time.perf_counter()
        for at, loop in enumerate(self.loops):
            loop.send(files=files[at::SLOTS])
        answers = [loop.answer() for loop in self.loops]
        wall = time.perf_counter() - began
        return Run(
            amount=sum(one["tokens"] for one in answers), cpu_s=sum(one["cpu_s"] for one in answers), wall_s=wall
        )


def spark_over_bare(corpus: Corpus, bundle: Bundle, folder: Path, tokens: int, rounds: int) -> Found:
    """`spark_over_bare` of one bundle."""
    source = folder / "source"
    rows = corpus.sample(tokens, "spark")
    shard_bytes, count = write_shards(rows, source, SHARDS), count_tokens(bundle, rows)
    with ExitStack() as stack:
        driver = stack.enter_context(Child("tests.bench.scoring.spark_driver", log=folder / "driver.log"))
        spark, bare = SparkSide(driver, folder, bundle, corpus), BareSide(bundle, stack, folder / "bare.log")
        start = driver.ask(what="start")["seconds"]
        bare.run(spark.few)
        ways = {"bare loop": lambda: bare.run(source), "Spark": lambda: spark.run(source, shard_bytes, count)[0]}
        runs = in_turns(ways, rounds, warm_up=False)
    found = Found(ratios={"spark_over_bare": ratio(runs["Spark"], runs["bare loop"], "wall_s")})
    found.add(f"{bundle.spec.name}, tokens", runs)
    found.runs[f"{bundle.spec.name}: Spark, few documents, wall_s"] = spark.fixed
    found.lines += [
        f"session start {start:.1f} s (not counted); a job on {FEW:,} tokens takes {median(spark.fixed):.1f} s",
        f"CPU of the Spark job over the bare loop's: {1 / ratio(runs['Spark'], runs['bare loop']):.3f}",
        f"{count:,} tokens in {SHARDS} shards",
    ]
    return found


def ten_times(corpus: Corpus, bundle: Bundle, folder: Path, tokens: int, rounds: int) -> Found:
    """`time_at_10x` and `driver_memory_at_10x`: all shards over a tenth of them."""
    all_shards, few_shards = folder / "all", folder / "tenth"
    rows = corpus.sample(tokens, "ten times")
    shard_bytes, count = write_shards(rows, all_shards, SHARDS), count_tokens(bundle, rows)
    few_shards.mkdir()
    for file in sorted(all_shards.iterdir())[: SHARDS // 10]:
        shutil.copy(file, few_shards)
    with Child("tests.bench.scoring.spark_driver", log=folder / "driver.log") as driver:
        spark = SparkSide(driver, folder, bundle, corpus)
        sizes = {"a tenth": (few_shards, count // 10), "all": (all_shards, count)}
        ways = {name: lambda at=at: spark.run(at[0], shard_bytes, at[1])[0] for name, at in sizes.items()}
        runs = in_turns(ways, rounds, warm_up=False)
        held = {name: spark.run(at[0], shard_bytes, at[1], watch=True)[1] for name, at in sizes.items()}
    found = Found(runs={"driver_mb": held})
    found.add(f"{bundle.spec.name}, Spark, tokens", runs)
    walls = {name: median([run.wall_s for run in some]) for name, some in runs.items()}
    found.ratios = {
        "time_at_10x": walls["all"] / walls["a tenth"],
        "driver_memory_at_10x": _total(held["all"]) / _total(held["a tenth"]),
    }
    found.lines += [
        f"wall {walls['a tenth']:.1f} s and {walls['all']:.1f} s; the smallest job {median(spark.fixed):.1f} s",
        f"driver's memory (JVM heap that lives, and Python's largest resident size), MB: {held}",
    ]
    return found


def count_tokens(bundle: Bundle, rows: pa.Table) -> int:
    """The classifier's tokens of documents."""
    return len(bundle.tokenizer().encode(texts(rows)).ids_T)


def _total(held: dict[str, float]) -> float:
    return sum(held.values())
