"""Verb `doctor`: what this machine has and lacks for the configured corpus, and what to do about each lack.

Starts no Spark session and loads no model, so it answers in seconds, also where everything is broken. A part that only
some machines need (torch on a driver, megatron-core on a scoring cluster) is a warning, never a failure. Of the source
and the tables it says whether they can be read and written, and with what.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import VerbError
from tokensieve.jobs.source.files import source_path
from tokensieve.jobs.source.remote_files import remote_size
from tokensieve.jobs.spark.s3_connector import connector_packages, s3_places
from tokensieve.udfs.files.storage import StoreError, is_remote

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config


JAVA_NEEDED = 17
# Measured: a plain udf over Parquet never returns in the one; the other's jar was never published.
KNOWN_BAD = {
    ("pyspark", "4.2.0"): "it hangs on a plain udf; pip install 'pyspark>=4.1.1,<4.2'",
    ("delta-spark", "4.4.1"): "its jar is not on Maven Central; pip install delta-spark==4.4.0",
}


def run(config: "Config") -> dict[str, Any]:
    """All checks. "ok" is True when nothing that is needed is missing; "lines" is for people."""
    checks = [
        _python(),
        _java(),
        *_spark(config),
        *_training(config),
        *_policies(config),
        _tokenizer(config),
        *check_places(config),
    ]
    return {
        "ok": all(check.ok for check in checks if check.needed),
        "checks": [asdict(check) for check in checks],
        "lines": [line for check in checks for line in _lines(check)],
    }


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. `needed` is False for what only some machines need: then not ok is a warning."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True


def _lines(check: Check) -> Iterator[str]:
    mark = "ok  " if check.ok else "FAIL" if check.needed else "warn"
    yield f"{mark}  {check.name:<22}{check.found}"
    if not check.ok and check.advice:
        yield f"      {'':<22}-> {check.advice}"


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Check(name="python", ok=ok, found=found, advice="use Python 3.11 or 3.12")


def _java() -> Check:
    """The Java that Spark would start: JAVA_HOME first, then the path."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = f"install Java {JAVA_NEEDED} or newer and set JAVA_HOME or PATH"
    if java is None:
        return Check(name="java", ok=False, found="none: JAVA_HOME is not set, no java on PATH", advice=advice)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name="java", ok=False, found=f"{java} does not run: {error}", advice=advice)
    number = re.search(r'version "(?:1\.)?(\d+)', answer)
    ok = number is not None and int(number[1]) >= JAVA_NEEDED
    return Check(
        name="java", ok=ok, found=f"{answer.splitlines()[0] if answer else 'no version'} ({java})", advice=advice
    )


def _spark(config: "Config") -> Iterator[Check]:
    yield _package("pyspark", extra="spark")
    delta = "delta" in (config.tables.format, config.source.format)
    yield _package("delta-spark", extra="spark", needed=delta)
    yield _delta_jars(config, delta)


def _package(name: str, *, extra: str, needed: bool = True) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        advice = f"pip install 'tokensieve[{extra}]'"
        return Check(name=name, ok=False, found="not installed", advice=advice, needed=needed)
    bad = KNOWN_BAD.get((name, found))
    return Check(name=name, ok=bad is None, found=found, advice=bad or "", needed=needed or bad is not None)


def _delta_jars(config: "Config", needed: bool) -> Check:
    """Jars in `spark.delta_jars`, or among Spark's own, or in the cache that Maven downloads go to."""
    from tokensieve.jobs.spark.s3_connector import spark_jars

    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return Check(name="delta jars", ok=True, found="built into the platform", needed=needed)
    if config.spark.delta_jars:
        folders = [Path(config.spark.delta_jars)]
        advice = "put the Delta connector's jars into spark.delta_jars"
    else:
        configured = config.spark.conf.get("spark.jars.ivy")
        ivy = [Path(configured)] if configured else [Path.home() / ".ivy2.5.2", Path.home() / ".ivy2"]
        folders = [spark_jars(), *(one / "jars" for one in ivy)]
        advice = "the first session fetches them by Maven; without a network set spark.delta_jars to a folder of them"
    jars = [jar for folder in folders for jar in sorted(folder.glob("*delta-spark_*.jar"))]
    found = ", ".join(jar.name for jar in jars) or f"none in {', '.join(map(str, folders))}"
    # A cache that is empty is no fault while Maven can fill it.
    return Check(
        name="delta jars", ok=bool(jars), found=found, advice=advice, needed=needed and bool(config.spark.delta_jars)
    )


def _training(config: "Config") -> Iterator[Check]:
    torch = _package("torch", extra="score", needed=False)
    yield torch
    if torch.ok:
        yield _cuda(config)
    yield _package("megatron-core", extra="pretrain", needed=False)
    yield _package("psutil", extra="pretrain", needed=False)


def _cuda(config: "Config") -> Check:
    from tokensieve.udfs.scoring.scorer import cuda_name

    wanted = config.score.device == "cuda" or (config.pretrain is not None and config.pretrain.device == "cuda")
    try:
        cuda = cuda_name()
    except (ImportError, OSError) as error:
        advice = "install the torch that fits this machine, see pytorch.org"
        return Check(name="cuda", ok=False, found=f"torch does not load: {error}", advice=advice, needed=False)
    found = cuda or "none; scoring and training run on the CPU"
    advice = "the configuration asks for cuda: use a machine that has it, or set device to auto"
    return Check(name="cuda", ok=bool(cuda) or not wanted, found=found, advice=advice, needed=False)


def _policies(config: "Config") -> Iterator[Check]:
    from tokensieve.jobs.policies.definition import load_definition
    from tokensieve.jobs.policies.rules import load_bundle

    for name, policy in config.policies.items():
        try:
            bundle, definition = load_bundle(name, policy), load_definition(policy.definition)
        except VerbError as error:
            advice = f"set policies.{name}.definition and .bundle to what exists here"
            yield Check(name=f"policy {name}", ok=False, found=str(error), advice=advice)
            continue
        found = f"definition {definition.definition_id}, bundle {bundle.spec.name} {bundle.bundle_id}, all hashes match"
        yield Check(name=f"policy {name}", ok=True, found=found)


def _tokenizer(config: "Config") -> Check:
    """The pretraining tokenizer loads and has its end-of-document token."""
    from tokensieve.jobs.exporting.tokenizer import tokenizer_info

    try:
        _, info = tokenizer_info(config.export)
    except (VerbError, OSError, ValueError) as error:
        advice = "set export.tokenizer and export.eod; score and mask work without"
        return Check(name="tokenizer", ok=False, found=str(error), advice=advice, needed=bool(config.export.tokenizer))
    found = f"{info.file}, {info.vocab_size:,} ids, eod {info.eod}, sha256 {info.sha256[:12]}"
    return Check(name="tokenizer", ok=True, found=found)


def check_places(config: "Config") -> Iterator[Check]:
    """The source, the tables' root, and what Spark needs where they are on S3."""
    source, size = _source(config)
    yield source
    yield from _local_root(config, size) if config.tables.store.local else _root_on_store(config)
    yield from _connector(config)


def _source(config: "Config") -> tuple[Check, int]:
    """And its bytes."""
    path = source_path(config.source)
    try:
        size = remote_size(path, config.source.storage) if is_remote(path) else _size(Path(path))
    except (VerbError, StoreError) as error:
        advice = "look at source.path, source.storage, the network and the credentials in the environment"
        return Check(name="source", ok=False, found=str(error), advice=advice), 0
    found = f"{path}, {size / 1e6:,.1f} MB" if size else f"nothing at {path}"
    return Check(name="source", ok=size > 0, found=found, advice="set source.path to a file, a folder or a glob"), size


def _local_root(config: "Config", source_bytes: int) -> Iterator[Check]:
    folder = config.tables.folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield Check(
        name="disk",
        ok=free >= 2 * source_bytes,
        found=f"{free / 1e9:,.1f} GB free at {folder}, twice the source is {2 * source_bytes / 1e9:,.3f} GB",
        advice="free some space, or set tables.root to another disk",
    )
    yield Check(
        name="tables.root",
        ok=os.access(folder, os.W_OK),
        found=f"{config.tables.folder} can{'' if os.access(folder, os.W_OK) else 'not'} be written",
        advice="set tables.root to a folder that you may write to",
    )


def _root_on_store(config: "Config") -> Iterator[Check]:
    """Puts a small object there and removes it."""
    name = f"_probe/{uuid.uuid4().hex}"
    try:
        config.tables.store.create(name, b"")
        config.tables.store.delete(name)
    except VerbError as error:
        advice = "look at tables.root, tables.storage, the network and the credentials in the environment"
        yield Check(name="tables.root", ok=False, found=str(error), advice=advice)
        return
    yield Check(name="tables.root", ok=True, found=f"{config.tables.root} can be written, and holds put-if-absent")
    yield Check(
        name="export.folder",
        ok=config.export.folder is not None,
        found=config.export.folder or "not set",
        advice="tables.root is on a store and shards are not: name a local or mounted folder before you export",
        needed=False,
    )


def _connector(config: "Config") -> Iterator[Check]:
    """Only where Spark itself touches S3: for tables, and a source of format delta."""
    places = [(config.tables.root, config.tables.storage)]
    if config.source.format == "delta":
        places.append((config.source.path, config.source.storage))
    if not s3_places(places):
        return
    packages = connector_packages(places)
    found = f"{packages[0]} by Maven, at the first start" if packages else "Spark's own, or that of the cluster"
    yield Check(name="s3 connector", ok=True, found=found)


def _size(path: Path) -> int:
    """Bytes of a file, of all files below a folder, or of what a glob finds."""
    if path.is_file():
        return path.stat().st_size
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return sum(os.path.getsize(file) for file in glob.glob(str(path), recursive=True) if os.path.isfile(file))
