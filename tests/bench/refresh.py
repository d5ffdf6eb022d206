"""What a refresh with nothing new costs, by the number of known shards and of past refreshes.

The first refresh is a real one: Spark scores, masks and exports tiny shards with a classifier of made-up weights. Past
refreshes beyond it are their records alone, copied forward: commits, releases and reports of so many refreshes, whose
content is that of the last. Measured are the verb in a warm process, and the whole command; neither opens a Spark
session.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.report import hardware, median, save, table
from tests.bundles import random_bundle, small_tokenizer
from tests.corpora import sentence
from tokensieve.jobs import refresh
from tokensieve.jobs.config.corpus import Config, load_config
from tokensieve.jobs.releases.release import Release, newest_release
from tokensieve.jobs.spark.session import open_session

COUNTS = (100, 1_000, 10_000)
PAST = 365
TABLES = ("scores", "quarantine", "masked")


def corpus(folder: Path, shards: int) -> Config:
    """So many shards of one short document each, and a configuration for them."""
    texts = [sentence(at) for at in range(9)]
    bundle = random_bundle(folder / "bundle", seed=6, texts=texts)
    tokenizer = small_tokenizer(folder / "tokenizer.json", texts, 320, ("<|endoftext|>", "<|hidden|>"))
    (folder / "source").mkdir()
    for at in range(shards):
        row = pa.table({"text": [sentence(at % 97, 8)], "id": [f"doc-{at:05d}"]})
        pq.write_table(row, folder / "source" / f"part-{at:05d}.parquet")
    (folder / "corpus.yaml").write_text(
        f"source: {{path: {folder / 'source'}}}\n"
        f"tables: {{root: {folder / 'tables'}}}\n"
        f"policies: {{medicine: {{definition: medicine, bundle: {bundle.path}}}}}\n"
        f"export: {{tokenizer: {tokenizer}}}\n"
        "spark: {master: 'local[2]'}\n"
    )
    return load_config(str(folder / "corpus.yaml"))


def grow_old(config: Config, past: int) -> None:
    """Puts the records of so many refreshes behind the last one."""
    store, last = config.tables.store, newest_release(config.tables.store, None)
    assert last is not None
    commits = {name: json.loads(store.read(f"{name}/_commits/{last.tables[name]:08d}.json")) for name in TABLES}
    report = json.loads(store.read(f"reports/{last.version:08d}.json"))
    for number in range(1, past + 1):
        tables = {name: version + number for name, version in last.tables.items()}
        for name, commit in commits.items():
            pinned = {"quarantine": tables["quarantine"]} if name == "scores" else {}
            commit |= {"version": tables[name], "inputs": commit["inputs"] | pinned}
            store.write(f"{name}/_commits/{tables[name]:08d}.json", json.dumps(commit).encode())
        release = Release.model_validate(last.model_dump() | {"version": last.version + number, "tables": tables})
        report["report"]["release"] = release.version
        store.write(f"reports/{release.version:08d}.json", json.dumps(report).encode())
        release.create(store)


def nothing_new(config: Config, file: Path, rounds: int) -> dict[str, float]:
    """Seconds of the verb and of the whole command, medians. Raises RuntimeError when there was something to do."""

    def refuse() -> None:
        raise RuntimeError("a refresh with nothing new opened a Spark session")

    verb, whole = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        done = refresh.run(config, refuse)  # type: ignore[arg-type]
        verb.append(time.perf_counter() - began)
        if done.state != "nothing_new":
            raise RuntimeError(f"the refresh was {done.state}")
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "tokensieve.jobs.cli", "refresh", "-c", str(file)], check=True, capture_output=True
        )
        whole.append(time.perf_counter() - began)
    return {"nothing_new_s": median(verb), "command_s": median(whole)}


def measure(shards: int, past: int, rounds: int) -> list[dict[str, float]]:
    """A corpus of so many shards after its first refresh, and after so many more."""
    with tempfile.TemporaryDirectory() as folder:
        config, file = corpus(Path(folder), shards), Path(folder) / "corpus.yaml"
        spark = open_session(config.spark, delta=False)
        began = time.perf_counter()
        refresh.run(config, lambda: spark)
        first = time.perf_counter() - began
        runs = [{"shards": shards, "refreshes": 1, "first_refresh_s": first, **nothing_new(config, file, rounds)}]
        grow_old(config, past)
        return [*runs, {"shards": shards, "refreshes": 1 + past, **nothing_new(config, file, rounds)}]


def main() -> None:
    """Runs the bench, prints a table and writes out/bench/refresh.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--past", type=int, default=PAST)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    machine = hardware()
    runs = [run for shards in given.shards for run in measure(shards, given.past, given.rounds)]
    columns = ("shards", "refreshes", "nothing_new_s", "command_s")
    print(table(columns, [tuple(run[name] for name in columns) for run in runs]))
    ratios = {
        f"nothing_new_s_{run['shards']}_shards_{run['refreshes']}_refreshes": run["nothing_new_s"] for run in runs
    }
    print(save("refresh", ratios, machine, {"runs": runs}))


if __name__ == "__main__":
    main()
