"""Whether the shards that stand are those of a manifest, without reading them and without Spark."""

from typing import TYPE_CHECKING

from pretrain.shards.manifest import Manifest, ManifestError

if TYPE_CHECKING:
    from jobs.config import Config


def is_current(config: "Config", manifest_id: str) -> bool:
    """True when the newest manifest has this id and every file that it names is there. Raises ConfigError."""
    folder = config.shards
    try:
        manifest = Manifest.load(folder)
    except ManifestError:
        return False
    return manifest.id == manifest_id and all((folder / file).is_file() for file in manifest.files())
