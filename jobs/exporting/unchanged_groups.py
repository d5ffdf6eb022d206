"""What an earlier export left that the next one can leave as it is: groups of the same rule, tokenizer and settings.

Whether the shards that stand are those of a manifest is seen without reading them and without Spark.
"""

from dataclasses import dataclass
from pathlib import Path

from tokensieve.jobs.tables.ledger import FOLDER as LEDGERS
from tokensieve.jobs.tables.store import Store
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.groups import Groups
from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard_info import TokenizerInfo

WHERE_FROM = {"source_table"}  # the inputs that differ from refresh to refresh
PADDED = {"padded_vocab_size"}  # of the tokenizer's record: no shard depends on it


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An export that can be built on. `damaged`: groups of which a file is missing."""

    manifest: Manifest
    groups: Groups
    damaged: frozenset[str]

    def is_of(self, folder: Path, inputs: Inputs, tokenizer: TokenizerInfo) -> bool:
        """Whether another export would say the same and the tokenizer's file is there."""
        same = (self.manifest.inputs, self.manifest.tokenizer) == (inputs, tokenizer)
        return same and (folder / tokenizer.file).is_file()


def standing(folder: Path, store: Store, tokenizer: TokenizerInfo, inputs: Inputs) -> Standing | None:
    """The newest manifest and its groups, None where everything has to be exported.

    That is so after another rule, tokenizer or setting; where there is no manifest, or one that cannot be read; and
    where the tables were begun anew, so that the versions in its groups mean nothing.
    """
    try:
        manifest = Manifest.load(folder)
        groups = None if manifest.groups is None else manifest.groups.load(folder)
    except ManifestError:
        return None
    if groups is None or not _same(manifest, tokenizer, inputs) or not _same_tables(manifest, store, inputs):
        return None
    gone = {
        shard.group or "" for shard in manifest.shards if not all((folder / file).is_file() for file in shard.files())
    }
    return Standing(manifest=manifest, groups=groups, damaged=frozenset(gone))


def _same(manifest: Manifest, tokenizer: TokenizerInfo, inputs: Inputs) -> bool:
    then, now = manifest.inputs.model_dump(exclude=WHERE_FROM), inputs.model_dump(exclude=WHERE_FROM)
    return then == now and manifest.tokenizer.model_dump(exclude=PADDED) == tokenizer.model_dump(exclude=PADDED)


def _same_tables(manifest: Manifest, store: Store, inputs: Inputs) -> bool:
    """Whether the manifest is of an earlier state of these tables: theirs is the ledger that it names, which holds the
    versions of all source files, and `scores` were begun with the same columns and classifiers."""
    then, now = manifest.inputs.source_table, inputs.source_table
    if any(then.get(name) != now.get(name) for name in ("path", "format", "scored_by")):
        return False
    ledger = then.get("ledger")
    return ledger is None or store.exists(f"{LEDGERS}/{ledger}.parquet")


def is_current(folder: Path, manifest_id: str) -> bool:
    """True when the newest manifest in a folder has this id and every file that it names is there."""
    try:
        manifest = Manifest.load(folder)
    except ManifestError:
        return False
    return manifest.id == manifest_id and all((folder / file).is_file() for file in manifest.files())
