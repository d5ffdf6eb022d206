"""Runs of competitors that do the same work in turns, and what a group of ratios reports."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.report import median


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: `amount` of real work (tokens of documents, or MB of text), CPU seconds of all cores, wall seconds."""

    amount: float
    cpu_s: float
    wall_s: float


@dataclass(kw_only=True)
class Found:
    """What a group has measured: its ratios, lines for people, and the runs behind them."""

    ratios: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    runs: dict[str, Any] = field(default_factory=dict)

    def add(self, prefix: str, runs: Mapping[str, list[Run]]) -> None:
        """Keeps runs, and says how fast each way was."""
        for name, some in runs.items():
            self.runs[f"{prefix}: {name}"] = [asdict(run) for run in some]
            speed, wall = per_cpu_s(some), median([run.amount / run.wall_s for run in some])
            self.lines.append(f"{prefix}: {name}: {speed:,.4g} a CPU second, {wall:,.4g} a second")


def timed(way: Callable[[], float]) -> Run:
    """Runs a way in this process; it returns its amount."""
    wall, cpu = time.perf_counter(), time.process_time()
    amount = way()
    return Run(amount=amount, cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)


def in_turns(ways: Mapping[str, Callable[[], Run]], rounds: int, warm_up: bool = True) -> dict[str, list[Run]]:
    """Every way once a round, after a round that does not count if the ways are not warm."""
    found: dict[str, list[Run]] = {name: [] for name in ways}
    for turn in range(rounds + warm_up):
        for name, way in ways.items():
            run = way()
            if turn >= warm_up:
                found[name].append(run)
    return found


def per_cpu_s(runs: list[Run]) -> float:
    """Amount a CPU second, the median of the runs."""
    return median([run.amount / run.cpu_s for run in runs])


def ratio(ours: list[Run], theirs: list[Run], seconds: str = "cpu_s") -> float:
    """Our speed over theirs, the median over the rounds, in which the machine was alike for both."""
    pairs = zip(ours, theirs)
    return median([a.amount / getattr(a, seconds) / (b.amount / getattr(b, seconds)) for a, b in pairs])
