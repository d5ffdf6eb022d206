"""Fixtures that every room's tests share: the checkout, the licensed text for tests, one Spark session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
    from jobs.session import SparkConfig, open_session

    session = open_session(SparkConfig(master="local[2]", app_name="tests"), delta=True)
    yield session
    session.stop()
