"""Fixtures that every room's tests share: the checkout, the licensed text for tests, one Spark session, bundles."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.bundles import random_bundle, small_tokenizer
from tests.corpora import sentence
from tests.small_spark import write_defaults
from tokensieve.jobs.config.corpus import Config, load_config
from tokensieve.udfs.bundles.bundle import Bundle

if TYPE_CHECKING:
    from tests.platforms.s3_server import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent


# A busy machine is no fault of the code under test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Every Spark of a test, also that of a command which it starts, gets the settings for small tables."""
    folder = Path(tempfile.mkdtemp(prefix="small-spark-"))
    write_defaults(folder)
    os.environ["SPARK_CONF_DIR"] = str(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that use Spark come first: they take longest, and the short ones then fill both workers to the end."""
    with_spark = {item.path for item in items if "spark" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in with_spark)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Licensed text beside the checkout; tests that need it skip where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no licensed test text at {folder}")
    return folder


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A local session that speaks Delta."""
    pytest.importorskip("pyspark", reason="the Spark verbs need tokensieve[spark]")
    from tokensieve.jobs.spark.session import SparkConfig, open_session

    session = open_session(SparkConfig(master="local[2]", app_name="tests"), delta=True)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def s3() -> "Iterator[S3Server]":
    """An S3 server on this machine, and the keys to it in the environment."""
    pytest.importorskip("moto", reason="a local S3 server needs tokensieve[dev]")
    from tests.platforms.s3_server import S3Server

    with pytest.MonkeyPatch.context() as environment, S3Server.with_keys(environment) as server:
        yield server


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A classifier with made-up weights: none to one half of a document's tokens score above one half."""
    return random_bundle(tmp_path_factory.mktemp("bundles") / "one", seed=6, texts=[sentence(at) for at in range(9)])


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Another head on the same encoder."""
    return random_bundle(tmp_path_factory.mktemp("bundles") / "two", seed=2, texts=[sentence(at) for at in range(9)])


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretraining tokenizer with other tokens than the classifier's."""
    texts = [sentence(at) for at in range(20)]
    special = ("<|endoftext|>", "<|hidden|>")
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", texts, 320, special)


@pytest.fixture
def configure(tmp_path: Path, configure_in: "Callable[[Path], Callable[..., Config]]") -> Callable[..., Config]:
    """Makes a configuration for `tmp_path/source` with dotted overrides."""
    return configure_in(tmp_path)


@pytest.fixture(scope="session")
def configure_in(bundle: Bundle, tokenizer: Path) -> "Callable[[Path], Callable[..., Config]]":
    """As `configure`, for any folder."""
    return lambda folder: partial(_configured, folder, bundle, tokenizer)


def _configured(folder: Path, bundle: Bundle, tokenizer: Path, *overrides: str) -> Config:
    file = folder / "corpus.yaml"
    file.write_text(
        f"source: {{path: {folder / 'source'}}}\n"
        f"tables: {{root: {folder / 'tables'}}}\n"
        "policies:\n"
        f"  medicine: {{definition: medicine, bundle: {bundle.path}}}\n"
        f"export: {{tokenizer: {tokenizer}}}\n"
        "spark: {master: 'local[2]'}\n"
    )
    return load_config(str(file), overrides)
