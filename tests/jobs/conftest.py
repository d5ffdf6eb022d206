"""Small corpora and configurations to run the verbs on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.config import Config, load_config
from tests.bundles import random_bundle, small_tokenizer
from udfs.bundle import Bundle

WORDS = tuple(
    "the patient took aspirin for a headache while rain fell on the old stone bridge over a quiet river".split()  # noqa: SIM905
)


def sentence(seed: int, words: int = 30) -> str:
    """Deterministic text of so many words."""
    return " ".join(WORDS[(seed * 7 + at * (seed + 3)) % len(WORDS)] for at in range(words)) + "."


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


def write_corpus(folder: Path, files: int = 2, rows: int = 12, more: dict[str, list[Any]] | None = None) -> Path:
    """FineWeb-Edu-like shards: id, text, dump; `more` adds columns."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in range(files):
        at = range(file * rows, (file + 1) * rows)
        table = pa.table(
            {
                "text": [sentence(n, 5 + 7 * (n % 9)) for n in at],
                "id": [f"doc-{n:03d}" for n in at],
                "dump": ["TEST"] * rows,
                **(more or {}),
            }
        )
        pq.write_table(table, folder / f"part-{file:05d}.parquet", row_group_size=rows)
    return folder


@pytest.fixture
def configure(tmp_path: Path, bundle: Bundle, tokenizer: Path) -> Callable[..., Config]:
    """Makes a configuration for `tmp_path/source` with dotted overrides."""

    def make(*overrides: str) -> Config:
        file = tmp_path / "corpus.yaml"
        file.write_text(
            f"source: {{path: {tmp_path / 'source'}}}\n"
            f"tables: {{root: {tmp_path / 'tables'}}}\n"
            "policies:\n"
            f"  medicine: {{definition: medicine, bundle: {bundle.path}}}\n"
            f"export: {{tokenizer: {tokenizer}}}\n"
            "spark: {master: 'local[2]'}\n"
        )
        return load_config(str(file), overrides)

    return make
