"""What the benches share: the machine in words, medians, one JSON file and one table per bench."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OUT = Path("out") / "bench"


def hardware() -> str:
    """The machine in words: processor, logical cores, memory, the load of others, a GPU where torch sees one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    words = f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} at the start"
    return f"{words}, Python {platform.python_version()}{_gpu()}"


def median(values: Sequence[float]) -> float:
    """The median. Raises ValueError for fewer than three values: a bench runs everything at least three times."""
    if len(values) < 3:
        raise ValueError(f"{len(values)} runs; a median needs at least three")
    return statistics.median(values)


def save(name: str, ratios: Mapping[str, float], machine: str, runs: Mapping[str, Any]) -> Path:
    """Writes `out/bench/NAME.json`: `ratios`, `hardware`, `date`, and `runs`, whatever they followed from."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    date = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"ratios": dict(ratios), "hardware": machine, "date": date, "runs": dict(runs)}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their longest cell; numbers to three digits."""
    cells = [
        list(header),
        *([f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows),
    ]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return ""
    return f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
