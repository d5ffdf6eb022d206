"""Verb `verify`: every file of the exported shards against the manifest; names the shards that are wrong.

Reads the whole corpus once. Exit code 2 when anything is wrong, so that a scheduler can put it before training.
"""

from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import InputError
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config


def run(config: "Config") -> dict[str, Any]:
    """What was checked: the newest manifest, or the one that `pretrain.manifest` names.

    Raises InputError with a line for each problem, ManifestError without a readable manifest.
    """
    folder = config.shards
    trained_on = config.pretrain.manifest if config.pretrain and config.pretrain.shards is None else None
    manifest = Manifest.load(folder, trained_on)
    problems = verify_shards(manifest, folder)
    if problems:
        wrong = sorted({problem.where for problem in problems})
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(
            f"{folder}: {len(wrong)} of its parts are wrong, export again with export.whole=true:\n{lines}"
        )
    return {
        "manifest": manifest.id,
        "shards": len(manifest.shards),
        "documents": manifest.documents,
        "tokens": manifest.tokens,
        "lines": [f"{folder}: {len(manifest.shards)} shards of manifest {manifest.id} are what it says"],
    }
