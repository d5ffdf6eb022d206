"""The doctor: a good machine passes, every lack is named with what to do, and nothing heavy is started."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from tests.jobs.capitals import capitals_config, write_documents
from tokensieve.jobs import doctor


@pytest.fixture
def config(tmp_path, repository):
    write_documents(tmp_path / "source", {"a": "one document"})
    return capitals_config(tmp_path, repository)


def checks(config) -> dict[str, dict]:
    return {check["name"]: check for check in doctor.run(config)["checks"]}


def test_every_part_is_looked_at_and_this_machine_passes(config):
    result = doctor.run(config)
    assert [check["name"] for check in result["checks"]] == [
        "python", "java", "pyspark", "delta-spark", "delta jars", "torch", "cuda", "megatron-core", "psutil",
        "policy capitals", "tokenizer", "source", "disk", "tables.root",
    ]  # fmt: skip
    failed = [check for check in result["checks"] if check["needed"] and not check["ok"]]
    assert (result["ok"], failed) == (True, [])
    assert result["lines"][0].startswith("ok    python")


def test_no_java_fails_and_says_what_to_install(config, tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    result = doctor.run(config)
    java = next(check for check in result["checks"] if check["name"] == "java")
    assert (result["ok"], java["ok"]) == (False, False)
    assert java["advice"] == "install Java 17 or newer and set JAVA_HOME or PATH"


@pytest.mark.parametrize(("version", "ok"), [("1.8.0_292", False), ("11.0.2", False), ("17.0.15", True), ("21", True)])
def test_java_before_17_fails(config, tmp_path, monkeypatch, version, ok):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert checks(config)["java"]["ok"] is ok


@pytest.mark.parametrize(
    ("package", "bad", "advice"),
    [("pyspark", "4.2.0", "it hangs on a plain udf"), ("delta-spark", "4.4.1", "its jar is not on Maven Central")],
)
def test_releases_known_to_be_bad_fail_even_where_they_are_not_needed(config, monkeypatch, package, bad, advice):
    monkeypatch.setattr(doctor, "version", lambda name: bad if name == package else "1.0")
    check = checks(config)[package]
    assert (check["ok"], check["needed"], check["found"]) == (False, True, bad)
    assert check["advice"].startswith(advice)


def test_a_driver_without_torch_and_megatron_is_warned_not_failed(config, monkeypatch):
    def only_spark(name: str) -> str:
        if name in ("torch", "megatron-core", "psutil"):
            raise PackageNotFoundError(name)
        return "4.1.4"

    monkeypatch.setattr(doctor, "version", only_spark)
    result = doctor.run(config)
    assert result["ok"]
    assert "warn  torch                 not installed" in result["lines"]
    assert "                            -> pip install 'tokensieve[pretrain]'" in result["lines"]


def test_a_missing_source_a_changed_bundle_and_a_wrong_eod_each_fail_by_name(tmp_path, repository):
    config = capitals_config(tmp_path, repository, "source.path=/no/such/folder", "export.eod=<end>")
    (tmp_path / "capitals" / "heads.safetensors").write_bytes(b"other weights")
    found = checks(config)
    assert [name for name, check in found.items() if not check["ok"]] == ["policy capitals", "tokenizer", "source"]
    assert "is not the file that bundle.json names" in found["policy capitals"]["found"]
    assert "has no token '<end>'" in found["tokenizer"]["found"]
    assert found["source"]["found"] == "nothing at /no/such/folder"


def test_a_full_disk_fails(config, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    assert checks(config)["disk"]["ok"] is False


def test_an_empty_folder_of_delta_jars_fails_only_where_delta_is_used(tmp_path, repository):
    write_documents(tmp_path / "source", {"a": "one document"})
    empty = tmp_path / "jars"
    empty.mkdir()
    jars = f"spark.delta_jars={empty}"
    plain = checks(capitals_config(tmp_path, repository, jars))["delta jars"]
    delta = checks(capitals_config(tmp_path, repository, jars, "tables.format=delta"))["delta jars"]
    assert (plain["ok"], plain["needed"], delta["ok"], delta["needed"]) == (False, False, False, True)


def test_the_doctor_starts_no_spark(repository):
    code = (
        "import sys; from tokensieve.jobs.config.corpus import load_config; from tokensieve.jobs.doctor import run; "
        "run(load_config('demo')); print('pyspark' in sys.modules, 'megatron' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
