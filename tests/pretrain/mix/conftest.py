"""One clean and one toxic source for all tests of mixes, made once; nothing writes into them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mixes import CLEAN_IDS, TOXIC_IDS, made_up, mix_config, write_source
from tokensieve.pretrain.mix.write import WrittenMix, write_mix


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `clean` (two train shards and a valid one) and `toxic` (two shards, 0.6 of clean's tokens)."""
    root = tmp_path_factory.mktemp("sources")
    clean = made_up("clean", CLEAN_IDS, 2500)
    toxic = made_up("toxic", TOXIC_IDS, 1300, seed=2)
    write_source(root / "clean", clean[:900], clean[900:2000], clean[2000:], splits=["train", "train", "valid"])
    write_source(root / "toxic", toxic[:600], toxic[600:])
    return root


@pytest.fixture
def write(sources: Path, tmp_path: Path) -> Callable[..., WrittenMix]:
    """Writes a mix of the shared sources to `tmp_path/mix`, or another `name`."""

    def make(share: float | None = 0.2, name: str = "mix", **changes: Any) -> WrittenMix:
        return write_mix(mix_config(sources, share, out=str(tmp_path / name), **changes))

    return make
