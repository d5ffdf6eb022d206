"""Scoring against the hardware and against the common alternatives: the ratios of `GOALS`, on documents of the corpus.

CPU figures, one thread a competitor, for the bundled tiny classifier and an encoder of 20 M parameters with random
weights; `gpu_score.py` is for GPUs. About 20 minutes on two idle cores; `--only` names some of the ratios.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import hardware, save, table
from tests.bench.scoring.child import ONE_THREAD
from tests.bench.scoring.runs import Found
from tests.bench.scoring.sample import Corpus

GOALS: dict[str, tuple[str, float]] = {
    "spark_over_bare": ("at least", 0.95),
    "spark_over_bare_tiny": ("report", 0),
    "over_reference": ("at least", 8),
    "over_reference_cascade": ("report", 0),
    "over_hf_pipeline": ("at least", 5),
    "over_sorted_batches": ("at least", 1.5),
    "gemm_share": ("at least", 0.55),
    "gemm_share_tiny": ("report", 0),
    "cascade_saving": ("at least", 3),
    "remask_mb_per_core_s": ("at least", 100),
    "sweep20_over_one": ("at most", 1.5),
    "time_at_10x": ("at most", 10.3),
    "driver_memory_at_10x": ("at most", 1.05),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """GPT-2 tokens of the documents, about, and how often everything is run."""

    tokens: int
    spark_tokens: int
    tiny_tokens: int
    cascade_tokens: int
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Ratios that are measured together; `measure` takes an empty folder."""

    name: str
    ratios: tuple[str, ...]
    measure: Callable[[Path], Found]


def groups(corpus: Corpus, sizes: Sizes, home: Path) -> list[Group]:
    """All groups; what needs no Spark comes first, before a JVM warms the machine."""
    from tests.bench.scoring import classifiers
    from tests.bench.scoring.against_peers import against_peers
    from tests.bench.scoring.cascade_saving import cascade_saving
    from tests.bench.scoring.decisions import decisions
    from tests.bench.scoring.own_share import own_share
    from tests.bench.scoring.spark_over_bare import spark_over_bare, ten_times

    large, tiny, rounds = classifiers.encoder_20m(home / "encoder-20m"), classifiers.tiny(), sizes.rounds
    return [
        Group(
            name="peers",
            ratios=(
                "over_reference",
                "over_reference_cascade",
                "over_hf_pipeline",
                "over_sorted_batches",
                "gemm_share",
            ),
            measure=lambda folder: against_peers(corpus, large, sizes.tokens, rounds),
        ),
        Group(
            name="tiny",
            ratios=("gemm_share_tiny",),
            measure=lambda folder: of_tiny(own_share(corpus, tiny, 2 * sizes.tokens, rounds)),
        ),
        Group(
            name="cascade",
            ratios=("cascade_saving",),
            measure=lambda folder: cascade_saving(corpus, tiny, sizes.cascade_tokens, rounds),
        ),
        Group(
            name="decisions",
            ratios=("remask_mb_per_core_s", "remask_spark_mb_per_core_s", "sweep20_over_one", "sweep20_over_one_spark"),
            measure=lambda folder: decisions(corpus, tiny, folder, sizes.cascade_tokens, rounds),
        ),
        Group(
            name="spark",
            ratios=("spark_over_bare",),
            measure=lambda folder: spark_over_bare(corpus, large, folder, sizes.spark_tokens, rounds),
        ),
        Group(
            name="spark_tiny",
            ratios=("spark_over_bare_tiny",),
            measure=lambda folder: of_tiny(spark_over_bare(corpus, tiny, folder, sizes.tiny_tokens, rounds)),
        ),
        Group(
            name="ten_times",
            ratios=("time_at_10x", "driver_memory_at_10x"),
            measure=lambda folder: ten_times(corpus, tiny, folder, sizes.tiny_tokens, rounds),
        ),
    ]


def of_tiny(found: Found) -> Found:
    """The same under the names of tiny's ratios."""
    return Found(
        ratios={f"{name}_tiny": value for name, value in found.ratios.items()}, lines=found.lines, runs=found.runs
    )


def summary(ratios: dict[str, float]) -> str:
    """Every ratio beside its goal."""
    rows = []
    for name, value in ratios.items():
        kind, goal = GOALS.get(name, ("report", 0))
        met = {"at least": value >= goal, "at most": value <= goal, "report": True}[kind]
        rows.append((name, value, "" if kind == "report" else f"{kind} {goal:g}", "" if met else "misses the goal"))
    return table(("ratio", "value", "goal", ""), rows)


def measure(chosen: Sequence[Group], home: Path) -> Found:
    """Runs the groups, printing what each finds as soon as it has."""
    everything = Found()
    for group in chosen:
        folder = home / group.name
        folder.mkdir()
        found = group.measure(folder)
        print(f"\n{group.name}: {', '.join(f'{name} {value:.3g}' for name, value in found.ratios.items())}")
        print("\n".join(f"  {line}" for line in found.lines), flush=True)
        everything.ratios |= found.ratios
        everything.runs |= found.runs | {f"{group.name}: in words": found.lines}
    return everything


def main() -> None:
    """Runs the bench, prints a table and writes out/bench/score.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="ratios or groups, with commas between; all without it")
    parser.add_argument("--tokens", type=int, default=24_000, help="of the 20 M encoder against other ways")
    parser.add_argument("--spark-tokens", type=int, default=240_000, help="of the 20 M encoder on Spark")
    parser.add_argument("--tiny-tokens", type=int, default=400_000, help="of tiny on Spark")
    parser.add_argument(
        "--cascade-tokens", type=int, default=300_000, help="of tiny under a cascade, and decided again"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = vars(parser.parse_args())
    only = set(filter(None, given.pop("only").split(",")))
    os.environ.update(ONE_THREAD)
    import torch

    torch.set_num_threads(1)
    machine = hardware()
    try:
        corpus = Corpus.load()
    except FileNotFoundError as error:
        print(f"skipped: {error}")
        return
    with tempfile.TemporaryDirectory() as name:
        known = groups(corpus, Sizes(**given), Path(name))
        names = {part for group in known for part in (group.name, *group.ratios)}
        if only - names:
            parser.error(f"unknown: {', '.join(sorted(only - names))}; known: {', '.join(sorted(names))}")
        chosen = [group for group in known if not only or only & {group.name, *group.ratios}]
        found = measure(chosen, Path(name))
    print(f"\n{machine}\n{summary(found.ratios)}")
    print(save("score", found.ratios, machine, found.runs))


if __name__ == "__main__":
    main()
