"""How staged shards become a corpus: renamed to names that hold a hash of their content, then named by a manifest."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from tokensieve.jobs.errors import BalanceError
from tokensieve.jobs.exporting.layout import Amount, Slot
from tokensieve.jobs.exporting.shard_task import ShardReport
from tokensieve.pretrain.shards.groups import FOLDER as GROUPS
from tokensieve.pretrain.shards.manifest import FILE_NAME, KEPT, Manifest, kept_file
from tokensieve.pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, shard_file
from tokensieve.pretrain.shards.shard_info import ShardInfo

OURS = (
    "shard-*.*",
    "docs/shard-*.parquet",
    "tokenizer*.json",
    "tokenizer*.tiktoken",
    f"{GROUPS}/*.json",
    f"{KEPT}/*.json",
)


def publish(folder: Path, slot: Slot, report: ShardReport) -> ShardInfo:
    """Renames one shard's files to their final names; visible, but part of nothing until the manifest names them."""
    docs, sha256 = f"docs/{report.name}.parquet", report.sha256 or {}
    (folder / "docs").mkdir(exist_ok=True)
    for suffix in (suffix for suffix in (*SUFFIXES, *SCORE_SUFFIXES) if suffix in sha256):
        os.replace(shard_file(Path(report.prefix), suffix), shard_file(folder / report.name, suffix))
    os.replace(shard_file(Path(report.prefix), ".docs.parquet"), folder / docs)
    return ShardInfo(
        prefix=report.name,
        docs=docs,
        split=slot.split,
        documents=report.documents,
        tokens=report.tokens,
        loss_tokens=report.loss_tokens,
        score_counts=report.score_counts,
        group=slot.group,
        sha256=sha256,
    )


def check_balance(slots: Collection[Slot], reports: Collection[ShardReport], measured: Mapping[str, Amount]) -> None:
    """Raises BalanceError unless the shards hold, group by group, what was measured in the masked table."""
    written = dict.fromkeys(measured, Amount())
    for slot, report in zip(slots, reports, strict=True):
        written[slot.group] += Amount(documents=report.documents, forget_bytes=report.forget_bytes)
    for group, found in written.items():
        expected = measured[group]
        if found.documents != expected.documents:
            raise BalanceError(
                f"group {group}: {found.documents} documents in the shards, {expected.documents} in the masked table; "
                "export again"
            )
        if found.forget_bytes != expected.forget_bytes:
            raise BalanceError(
                f"group {group}: {found.forget_bytes} bytes forgotten in the shards, {expected.forget_bytes} in the "
                "masked table; run `tokensieve mask` again, then export"
            )


def sweep(folder: Path, keep: Collection[str], dry_run: bool = False) -> list[str]:
    """Removes what neither the newest manifest names nor those with the ids `keep`; returns its paths there, sorted.

    Raises ManifestError for a kept manifest that cannot be read, before anything is removed.
    """
    newest = Manifest.load(folder)
    kept = [Manifest.load(folder, id) for id in {*keep} - {newest.id} if kept_file(folder, id).is_file()]
    named = {FILE_NAME} | {f"{KEPT}/{manifest.id}.json" for manifest in (newest, *kept)}
    named = named.union(*(manifest.files() for manifest in (newest, *kept)))
    there = {path.relative_to(folder).as_posix() for pattern in OURS for path in folder.glob(pattern)}
    litter = sorted(there - named)
    # Manifests first: what is left behind by a kill is then named by none.
    for name in sorted(litter, key=lambda name: not name.startswith(KEPT)) if not dry_run else ():
        (folder / name).unlink()
    return litter
