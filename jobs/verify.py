"""Verb `verify`: every file of the exported shards against the manifest; names the shards that are wrong.

Reads the whole corpus once. Exit code 2 when anything is wrong, so that a scheduler can put it before training.
"""

from typing import TYPE_CHECKING, Any

from jobs.errors import InputError
from pretrain.shards.manifest import Manifest

if TYPE_CHECKING:
    from jobs.config import Config


def run(config: "Config") -> dict[str, Any]:
    """What was checked. Raises InputError with a line for each problem, ManifestError without a readable manifest."""
    folder = config.tables.shards
    manifest = Manifest.load(folder)
    problems = manifest.verify(folder)
    if problems:
        wrong = sorted({problem.where for problem in problems})
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"{folder}: {len(wrong)} of its parts are wrong, export again:\n{lines}")
    return {
        "manifest": manifest.id,
        "shards": len(manifest.shards),
        "documents": manifest.documents,
        "tokens": manifest.tokens,
        "lines": [f"{folder}: {len(manifest.shards)} shards of manifest {manifest.id} are what it says"],
    }
