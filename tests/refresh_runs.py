"""A corpus that grows by runs: real text in small shards, the verb that runs each night, the same state afresh."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokensieve.jobs import mask, refresh, score
from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.releases.refresh_run import RefreshRun
from tokensieve.jobs.tables.quarantine import read_quarantine

ROWS = 5  # documents of a shard
LONGEST = 1_500  # characters
COLUMNS = ["text", "id", "dump", "token_count"]
FORMATS = ("parquet", "delta")
SAME = ("state", "ran", "scored", "sources", "documents", "reasons", "release", "previous", "tokens", "loss_tokens")


def shard(shared_data: Path, number: int, first: int = 0, rows: int = ROWS) -> pa.Table:
    """Short documents of one shard of the corpus, from the `first` of them on."""
    table = pq.read_table(shared_data / "corpus" / f"train-{number:05d}-of-00012.parquet", columns=COLUMNS)
    return table.filter(
        pc.call_function("less", [pc.call_function("utf8_length", [table["text"]]), pa.scalar(LONGEST)])
    ).slice(first, rows)


def put(source: Path, name: str, table: pa.Table) -> str:
    """Writes a shard, in place of one with this name; returns the name."""
    source.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, source / f"{name}.new")
    os.replace(source / f"{name}.new", source / name)
    return name


def no_session() -> Any:
    """For a refresh that has nothing to do."""
    raise AssertionError("a refresh with nothing to do opened a Spark session")


class Refreshes:
    """Refreshes of one corpus, in tables of both formats at the same time.

    Attributes:
        source: the folder of its shards. lost: shards that vanished but are kept; the state afresh has them.
    """

    def __init__(self, configure: Callable[..., Config], folder: Path, spark: Any, *settings: str) -> None:
        self.source, self.lost = folder / "source", folder / "lost"
        self._configure, self._folder, self._spark, self._settings = configure, folder, spark, settings

    def config(self, format: str, *overrides: str) -> Config:
        """The configuration of one format with this refresh's overrides."""
        root = self._folder / format
        return self._configure(*self._settings, f"tables.format={format}", f"tables.root={root}", *overrides)

    def idle(self, *overrides: str) -> RefreshRun:
        """A refresh that must not need a session."""
        return self._agreed([refresh.run(self.config(format, *overrides), no_session) for format in FORMATS])

    def run(self, *overrides: str) -> RefreshRun:
        """A refresh, after which the tables of both formats are as if they were made afresh from the same state."""
        configs = [self.config(format, *overrides) for format in FORMATS]
        run = self._agreed([refresh.run(config, lambda: self._spark) for config in configs])
        afresh = self._afresh(*overrides)
        for table in ("scores", "quarantine", "masked"):
            expected = rows(afresh, self._spark, table)
            for config in configs:
                assert alike(rows(config, self._spark, table), expected), f"{table} as {config.tables.format}"
        return run

    def _agreed(self, runs: list[RefreshRun]) -> RefreshRun:
        first, second = ({name: getattr(run, name) for name in SAME} for run in runs)
        assert first == second, "the formats tell of different refreshes"
        return runs[0]

    def _afresh(self, *overrides: str) -> Config:
        """A run of the same state into an empty root."""
        state, root = self._folder / "state", self._folder / "afresh"
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.source, state)  # with times of modification, which versions are made of
        if self.lost.is_dir():
            shutil.copytree(self.lost, state, dirs_exist_ok=True)
        config = self._configure(*self._settings, *overrides, f"tables.root={root}", f"source.path={state}")
        score.run(config, self._spark, gate=False)
        mask.run(config, self._spark)
        return config


def alike(one: Any, other: Any) -> bool:
    """Equal, but for the last digits of floats: the score of a document comes out of matrix products, and on some CPUs
    their sums follow the size of the pack that the document was in."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def rows(config: Config, spark: Any, table: str) -> list[dict[str, Any]]:
    """A table's rows in order of file and row. Nulls are left out: a column that only lost shards had stays as one."""
    found = read_quarantine(config.tables, spark) if table == "quarantine" else config.tables.table(table).read(spark)
    plain = [{key: value for key, value in row.asDict(True).items() if value is not None} for row in found.collect()]
    return sorted(plain, key=lambda row: (row["source_file"], row.get("source_row", -1)))
