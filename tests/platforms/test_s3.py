"""Refreshes on an S3 store: source and tables are objects, Spark's own connector writes, shards are on a local disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.platforms.refresh_runs import add_shard, equal_to_a_local_run, write_project
from tests.platforms.s3_server import BUCKET, KEYS, S3Server

pytestmark = pytest.mark.platform


def run(verb: str, project: Path, repository: Path, server: S3Server, *overrides: str) -> subprocess.CompletedProcess:
    """A verb as a process of its own, on the objects below the project's name."""
    place = f"s3a://{BUCKET}/{project.name}"
    command = [
        sys.executable,
        "-m",
        "tokensieve.jobs.cli",
        verb,
        "--config",
        "corpus.yaml",
        "--json",
        "spark.master=local[2]",
    ]
    command += [f"source.path={place}/source", f"tables.root={place}/tables", f"export.folder={project}/tables/shards"]
    command += [*server.overrides("source", "tables"), "spark.shuffle_partitions=2", *overrides]
    environment = os.environ | KEYS | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=280)


def said(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def publish(project: Path, server: S3Server, shard: int, name: str | None = None) -> None:
    """Puts a local shard into the store, under another name if one is given."""
    file = project / "source" / f"part-{shard:05d}.parquet"
    server.files().put_file(str(file), f"{BUCKET}/{project.name}/source/{name or file.name}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_runs_on_s3_make_the_tables_of_a_local_run(s3, repository, tmp_path, spark, format):
    write_project(tmp_path)
    for shard in range(3):
        add_shard(tmp_path, repository, shard)
    as_format = f"tables.format={format}"
    publish(tmp_path, s3, 0)
    first = said(run("refresh", tmp_path, repository, s3, as_format))
    assert (first["state"], first["documents"]["in"]) == ("done", 12)
    again = said(run("refresh", tmp_path, repository, s3, as_format))
    assert again["state"] == "nothing_new"

    publish(tmp_path, s3, 1)
    publish(tmp_path, s3, 2, name="part-00000.parquet")  # another shard under a known name
    busy = iter(range(40))
    with s3.refusing(lambda method, path: "/source/" in path and next(busy, 40) % 2 == 0):
        third = said(run("refresh", tmp_path, repository, s3, as_format))
    assert (third["sources"]["new"], third["sources"]["changed"], third["documents"]["in"]) == (1, 1, 24)
    assert third["documents"]["quarantine"] == 0, "contention for a while costs no document"

    (tmp_path / "source" / "part-00002.parquet").rename(tmp_path / "source" / "part-00000.parquet")
    s3.files().get(f"{BUCKET}/{tmp_path.name}/tables/", f"{tmp_path}/tables/", recursive=True)
    assert equal_to_a_local_run(tmp_path, format, spark, without=("source_version",))["in"] == 24


@pytest.mark.timeout(600)
def test_contention_that_stays_fails_the_run_and_quarantines_nothing(s3, repository, tmp_path):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    publish(tmp_path, s3, 0)
    reads = iter(range(10_000))
    with s3.refusing(lambda method, path: "/source/" in path and method == "GET" and next(reads) >= 2):
        done = run("score", tmp_path, repository, s3, "source.storage.attempts=2")
    assert done.returncode == 1
    assert "the server is busy" in done.stderr
    assert "part-00000.parquet" in done.stderr
    tables = s3.files().find(f"{BUCKET}/{tmp_path.name}/tables")
    assert [name for name in tables if "/_commits/" in name] == []
