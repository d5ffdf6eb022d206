"""Small corpora to run the verbs on."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = tuple(
    "the patient took aspirin for a headache while rain fell on the old stone bridge over a quiet river".split()  # noqa: SIM905
)


def sentence(seed: int, words: int = 30) -> str:
    """Deterministic text of so many words."""
    return " ".join(WORDS[(seed * 7 + at * (seed + 3)) % len(WORDS)] for at in range(words)) + "."


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
