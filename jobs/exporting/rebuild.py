"""Makes the exact shard set of a manifest again, in a folder of its own: what a training run read, byte for byte.

Files that are still there are linked, or copied from another disk, once their hashes are checked. Groups that lack a
file are exported again from the version of the masked table that the manifest was made from.
"""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.export import ExportConfig, SplitsConfig
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.exporting.documents import Documents
from tokensieve.jobs.exporting.layout import Amount, Layout
from tokensieve.jobs.exporting.run_tasks import write_groups
from tokensieve.jobs.exporting.tokenizer import tokenizer_info
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.table import Commit
from tokensieve.pretrain.hashed_file import file_sha256, replace_file
from tokensieve.pretrain.shards.groups import Group
from tokensieve.pretrain.shards.manifest import FILE_NAME, ExportSettings, Manifest, inside
from tokensieve.pretrain.shards.shard_info import Split
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


def rebuild(
    config: "Config", spark: "SparkSession", manifest_id: str, masked_version: int, folder: Path
) -> dict[str, Any]:
    """Fills `folder`, which is new, empty or of a rebuild that was killed; returns what was taken and what made again.

    `masked_version`: the version of the masked table that the manifest was made from. Raises InputError when the folder
    holds something else, or when the same shards cannot be made, with what differs; ManifestError when the manifest is
    no longer kept.
    """
    manifest, folder = Manifest.load(config.shards, manifest_id), Path(folder).absolute()
    _refuse_other_files(folder, manifest)
    folder.mkdir(parents=True, exist_ok=True)
    files = manifest.files()
    lost = {name for name, sha256 in files.items() if not _taken(config.shards, folder, name, sha256)}
    groups = {shard.group for shard in manifest.shards if lost & shard.files().keys()}
    if lost:
        _export_again(config, spark, manifest, masked_version, folder, groups)
        _refuse_differences(folder, {name: files[name] for name in lost}, manifest)
    manifest.save(folder)
    return {
        "manifest": manifest.id,
        "folder": str(folder),
        "shards": len(manifest.shards),
        "files": {"taken": len(files) - len(lost), "made_again": len(lost)},
        "groups_made_again": len(groups),
    }


def _refuse_other_files(folder: Path, manifest: Manifest) -> None:
    for left in folder.glob("_staging-*"):
        shutil.rmtree(left)
    ours = {FILE_NAME, *manifest.files()}
    other = next(
        (p for p in sorted(folder.rglob("*")) if p.is_file() and p.relative_to(folder).as_posix() not in ours), None
    )
    there = folder / FILE_NAME
    if other is None and there.is_file() and Manifest.load(folder).id != manifest.id:
        other = there
    if other is not None:
        raise InputError(
            f"{folder}: holds {other.relative_to(folder)}, which is not of manifest {manifest.id}; name an empty folder"
        )


def _taken(shards: Path, folder: Path, name: str, sha256: str | None) -> bool:
    """Whether the file is in the folder now with the right content; linked where the disk allows it."""
    source, target = inside(shards, name), inside(folder, name)
    if _is(target, sha256):
        return True
    target.unlink(missing_ok=True)
    if not _is(source, sha256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
    return True


def _export_again(
    config: "Config", spark: "SparkSession", manifest: Manifest, version: int, folder: Path, groups: set[str | None]
) -> None:
    """Writes the shards of these groups into the folder, under the names that their content gives them."""
    settings = manifest.inputs.settings
    if manifest.groups is None or settings is None:
        raise InputError(
            f"{config.shards}: files of manifest {manifest.id} are gone, and it was exported before source files had "
            "groups, so that they cannot be made again; restore them from a copy"
        )
    tokenizer = _tokenizer(config.export, manifest, folder)
    if not groups:
        return
    documents = Documents.of(config.tables, spark, _masked(config.tables, manifest, version), manifest.inputs.scores)
    again = [group for group in manifest.groups.load(config.shards).groups if group.name in groups]
    _refuse_other_sources(documents, again, version)
    write_groups(
        documents,
        _layout(manifest, again),
        {name: group.name for group in again for name in group.sources},
        {group.name: Amount(documents=group.documents, forget_bytes=group.forget_bytes) for group in again},
        folder=folder,
        tokenizer=tokenizer,
        info=manifest.tokenizer,
        splits=_splits(settings),
        seed=manifest.inputs.seed,
        reference_if_differs=config.export.backend == "auto",
    )


def _tokenizer(export: ExportConfig, manifest: Manifest, folder: Path) -> ByteTokenizer:
    """The manifest's tokenizer, from its own copy or from the configuration; it is put into the folder."""
    info = manifest.tokenizer
    copy = folder / info.file
    if copy.is_file():
        return ByteTokenizer.load(copy, export.backend)
    tokenizer, now = tokenizer_info(export)
    if now.sha256 != info.sha256:
        raise ConfigError(
            f"export.tokenizer: {export.tokenizer} has the SHA-256 {now.sha256}, manifest {manifest.id} was "
            f"tokenized by {info.sha256}, and its copy is gone; name that one"
        )
    replace_file(copy, tokenizer.data)
    return tokenizer


def _masked(tables: TablesConfig, manifest: Manifest, version: int) -> Commit:
    table, made_from = tables.table("masked"), manifest.inputs.source_table
    masked = table.commit(version)
    if masked is None or (masked.batch, masked.ledger) != (made_from["version"], made_from.get("ledger")):
        there = "is missing" if masked is None else f"holds the batch {masked.batch}"
        raise InputError(
            f"{table.uri}: version {version} {there}, manifest {manifest.id} was made from {made_from['version']}; "
            "name the release that has this manifest"
        )
    return masked


def _refuse_other_sources(documents: Documents, groups: list[Group], version: int) -> None:
    for name, member in ((name, member) for group in groups for name, member in group.sources.items()):
        if documents.sources.get(name) != member:
            raise InputError(
                f"{documents.tables.root}: version {version} of the masked table has {name} as "
                f"{documents.sources.get(name)}, the manifest as {member}; the tables are not those it was made from"
            )


def _layout(manifest: Manifest, groups: list[Group]) -> Layout:
    counts: dict[str, Counter[Split]] = {group.name: Counter() for group in groups}
    for shard in manifest.shards:
        if shard.group in counts:
            counts[shard.group][shard.split] += 1
    return Layout.of(counts)


def _splits(settings: ExportSettings) -> SplitsConfig:
    return SplitsConfig(valid=settings.valid, test=settings.test, seed=settings.splits_seed)


def _refuse_differences(folder: Path, files: dict[str, str | None], manifest: Manifest) -> None:
    """What was made again must be what the manifest names, to the byte."""
    differ = [name for name, sha256 in sorted(files.items()) if not _is(folder / name, sha256)]
    if differ:
        raise InputError(
            f"{folder}: manifest {manifest.id} could not be made again: {', '.join(differ[:5])} "
            f"({len(differ)} files) came out otherwise. Another version of tokensieve, of a tokenizer library or of "
            "pyarrow does that; install those of the run, or restore the files from a copy"
        )


def _is(path: Path, sha256: str | None) -> bool:
    """An old manifest does not know the hashes of the document indices (None)."""
    return path.is_file() and sha256 in (None, file_sha256(path))
