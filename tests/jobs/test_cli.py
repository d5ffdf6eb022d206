"""The command line as a user meets it: help at once, exit codes, one line of JSON, the resolved configuration."""

import json
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from tests.corpora import write_corpus
from tokensieve.jobs.cli import app


def run(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tokensieve.jobs.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)


def test_help_lists_the_verbs_without_importing_what_they_need(repository):
    began = time.monotonic()
    done = run("--help", cwd=repository)
    assert done.returncode == 0
    assert all(
        verb in done.stdout
        for verb in ["score", "mask", "export", "report", "trace", "doctor", "pretrain", "fit", "demo", "refresh"]
    )
    assert time.monotonic() - began < 10, "a generous limit: the machine may be busy"
    heavy = "('pyspark', 'torch', 'pyarrow', 'pydantic')"
    code = f"import sys, tokensieve.jobs.cli; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert loaded.stdout.strip() == "[]"


def test_the_resolved_configuration_is_shown_with_its_hash(repository):
    done = run("score", "--config", "demo", "--show-config", "policies.medicine.rule.threshold=0.4", cwd=repository)
    assert done.returncode == 0
    assert "threshold: 0.4" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("# config_id: ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("score", "--config", "demo", "source.pth=x"), 2, "unknown key source.pth; did you mean source.path?"),
        (("score", "--config", "no-such-file.yaml"), 2, "no-such-file.yaml: no such file"),
        (("pretrain", "plan", "--config", "demo", "tables.root=/nonexistent"), 2, "run `tokensieve export` first"),
        (("pretrain", "plan", "--config", "demo", "pretrain=null"), 2, "no section `pretrain`"),
    ],
)
def test_a_wrong_call_exits_with_two_and_says_what_to_do(repository, arguments, code, said):
    done = run(*arguments, cwd=repository)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_quarantine_above_the_tolerance_exits_with_three_and_json_is_the_last_line(
    configure, tmp_path, repository, monkeypatch, spark
):
    source = write_corpus(tmp_path / "source", rows=4)
    configure()
    (source / "part-00001.parquet").write_bytes(b"broken")
    file = str(tmp_path / "corpus.yaml")
    done = run("score", "--config", file, "--json", cwd=repository)
    assert done.returncode == 3, done.stderr
    assert "1 of 5 documents quarantined" in done.stderr
    monkeypatch.chdir(repository)
    done = CliRunner().invoke(app, ["score", "--config", file, "--json", "score.quarantine_tolerance=0.5"])
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["documents"] == {"in": 5, "scored": 4, "quarantine": 1, "reasons": {"unreadable_file": 1}}
