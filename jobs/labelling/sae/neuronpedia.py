"""Reads explanations of latents from a Neuronpedia export that somebody downloaded: a data set, not a live service.

JSON (a list, or one object) or JSONL, one object per latent: `index`, a whole number or its digits, and either
`explanations`, a list of objects with `description`, or `description` itself. The shape is that of the service's
replies as other code uses them; it could not be checked against the service.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokensieve.jobs.errors import InputError


def read_export(path: str) -> dict[int, str]:
    """Description by latent: the first one that is not empty. Latents without any are left out.

    Raises InputError: no such file, not JSON, an object without `index`, a latent twice with two descriptions.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"claude.latents.export: {path} cannot be read: {error}") from error
    found: dict[int, str] = {}
    for where, row in _rows(path, content):
        latent, description = _latent(where, row), _description(where, row)
        if description and found.setdefault(latent, description) != description:
            raise InputError(f"{where}: latent {latent} was described before, in other words; keep one of the two")
    return found


def _rows(path: str, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, object) of a JSON or a JSONL file."""
    try:
        whole = json.loads(content)
        rows = [(f"{path}: item {at}", row) for at, row in enumerate(whole if isinstance(whole, list) else [whole])]
    except ValueError:
        lines = [(f"{path}:{number}", line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
        rows = [(where, _json(where, line)) for where, line in lines]
    for where, row in rows:
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object with `index` and `explanations`, found {str(row)[:60]!r}")
        yield where, row


def _json(where: str, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}; the export must be JSON or one JSON object a line") from error


def _latent(where: str, row: dict[str, Any]) -> int:
    index = row.get("index")
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
        return index
    raise InputError(f"{where}: `index` must be the latent's number, not {index!r}")


def _description(where: str, row: dict[str, Any]) -> str:
    explanations = row.get("explanations", [row])
    if not isinstance(explanations, list) or not all(isinstance(one, dict) for one in explanations):
        raise InputError(f"{where}: `explanations` must be a list of objects with `description`")
    texts = (one.get("description") for one in explanations)
    return next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")
