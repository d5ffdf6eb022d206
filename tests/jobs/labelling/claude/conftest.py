"""Fixtures of the tests that ask the fake Claude."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.claude_project import KEY, Project, honest
from tests.fake_claude import FakeClaude


@pytest.fixture
def fake() -> Iterator[FakeClaude]:
    pytest.importorskip("anthropic", reason="asking Claude needs tokensieve[claude]")
    with FakeClaude(honest) as server:
        yield server


@pytest.fixture
def project(fake: FakeClaude, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return Project(fake=fake, ledger=tmp_path / "tables" / "claude.sqlite")


@pytest.fixture
def texts() -> list[str]:
    return [f"text {at} {'forget' if at % 3 == 0 else 'keep'}" for at in range(30)]
