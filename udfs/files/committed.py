"""Finds the rows of a Parquet table of ours without Spark: the newest commit file, and the folders that it lists.

For tables that are always replaced as a whole, such as label sets; of others some rows may be dead.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMITS = "_commits"


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What a commit says: `batch` names the content, `inputs` what it follows from; `files` are its Parquet files."""

    batch: str
    inputs: dict[str, Any]
    files: tuple[Path, ...]


def newest_commit(table: Path) -> Committed | None:
    """The newest commit of the table in a folder, None where there is none."""
    commits = sorted((table / COMMITS).glob("*.json"))
    if not commits:
        return None
    said = json.loads(commits[-1].read_text(encoding="utf-8"))
    files = tuple(file for part in said["parts"] for file in sorted((table / part["folder"]).glob("*.parquet")))
    return Committed(batch=said["batch"], inputs=said["inputs"], files=files)
