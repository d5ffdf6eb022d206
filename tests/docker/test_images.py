"""The Dockerfiles and scripts, as far as they can be checked without building: linters, the checkout."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="checks of images need tokensieve[dev]")
FILES = ("score.Dockerfile", "train.Dockerfile")


def linter(name: str) -> str:
    """A program that a wheel of the dev extra brings; the test skips where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(params=FILES)
def dockerfile(request, repository) -> Path:
    return repository / "docker" / request.param


def instructions(path: Path) -> list[tuple[str, str]]:
    parser = dockerfile_parse.DockerfileParser(fileobj=path.open("rb"))
    return [(one["instruction"], one["value"]) for one in parser.structure if one["instruction"] != "COMMENT"]


def test_hadolint_has_nothing_to_say(dockerfile):
    done = subprocess.run([linter("hadolint"), str(dockerfile)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_every_base_is_an_argument_with_a_version_and_a_digest(dockerfile):
    before = [value for name, value in instructions(dockerfile) if name == "ARG" and "_IMAGE=" in value]
    images = dict(value.split("=", 1) for value in before)
    used = {value.split()[0] for name, value in instructions(dockerfile) if name == "FROM"}
    assert used == {f"${{{name}}}" for name in images}
    for image in images.values():
        assert re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z0-9.-]+@sha256:[0-9a-f]{64}", image)


def test_both_images_are_made_from_the_same_python(repository):
    bases = [
        [value for name, value in instructions(repository / "docker" / file) if value.startswith("PYTHON_IMAGE=")]
        for file in FILES
    ]
    assert bases[0] == bases[1]
    assert len(bases[0]) == 1


def test_what_is_copied_exists_and_is_not_left_out_of_the_context(dockerfile, repository):
    copied = [
        source
        for name, value in instructions(dockerfile)
        if name == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    kept = [line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert copied
    for source in copied:
        path = source.replace("${BUNDLE}", "conf/classifiers/medicine-tiny")
        assert (repository / path).exists(), f"{dockerfile.name} copies {path}"
        assert any(fnmatch(path, one) or path.startswith(f"{one}/") for one in kept), f"{path} is in .dockerignore"


def test_the_last_stage_runs_as_a_numbered_user_that_is_not_root(dockerfile):
    last = [value for name, value in instructions(dockerfile) if name == "USER"][-1]
    defaults = dict(value.split("=", 1) for name, value in instructions(dockerfile) if name == "ARG" and "=" in value)
    user = defaults[last.strip("${}")]
    assert int(user) > 0


def test_extras_of_the_images_exist(dockerfile, repository):
    import tomllib

    known = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extras,) = [
        value.split("=", 1)[1]
        for name, value in instructions(dockerfile)
        if name == "ARG" and value.startswith("EXTRAS=")
    ]
    assert set(extras.split(",")) <= set(known)


def test_shellcheck_has_nothing_to_say(repository):
    scripts = sorted(str(path) for path in (repository / "docker").rglob("*.sh"))
    assert len(scripts) >= 6
    done = subprocess.run([linter("shellcheck"), *scripts], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_scripts_can_be_executed(repository):
    assert [path.name for path in (repository / "docker").rglob("*.sh") if not path.stat().st_mode & 0o111] == []


def test_the_discovery_script_says_what_spark_reads(repository, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    smi.chmod(0o755)
    done = subprocess.run(
        [str(repository / "docker" / "discover_gpus.sh")],
        capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == '{"name": "gpu", "addresses": ["0","1"]}\n'


def test_what_platforms_start_lies_where_the_wheel_installs_it(repository):
    texts = [path.read_text() for path in sorted((repository / "docker").rglob("*")) if path.is_file()]
    started = [place for text in texts for place in re.findall(r"site-packages/(\S+?\.py)", text)]
    assert len(started) == 4, "EMR, Dataproc, and two of Kubernetes"
    assert {place for place in started if not (repository / place).is_file()} == set()
    assert {place.split("/")[0] for place in started} == {"tokensieve"}
