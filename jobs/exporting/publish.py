"""How staged shards become a corpus: renamed to names that hold a hash of their content, then named by a manifest."""

import os
from pathlib import Path

from jobs.errors import BalanceError
from jobs.exporting.layout import Layout
from jobs.exporting.write import ShardReport
from pretrain.shards.manifest import Manifest, ShardInfo
from pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, shard_file


def publish(folder: Path, layout: Layout, report: ShardReport) -> ShardInfo:
    """Renames one shard's files to their final names; visible, but part of nothing until the manifest names them."""
    docs, sha256 = f"docs/{report.name}.parquet", report.sha256 or {}
    (folder / "docs").mkdir(exist_ok=True)
    for suffix in (suffix for suffix in (*SUFFIXES, *SCORE_SUFFIXES) if suffix in sha256):
        os.replace(shard_file(Path(report.prefix), suffix), shard_file(folder / report.name, suffix))
    os.replace(shard_file(Path(report.prefix), ".docs.parquet"), folder / docs)
    return ShardInfo(
        prefix=report.name,
        docs=docs,
        split=layout.split_of(report.at),
        documents=report.documents,
        tokens=report.tokens,
        loss_tokens=report.loss_tokens,
        score_counts=report.score_counts,
        sha256=sha256,
    )


def check_balance(reports: list[ShardReport], layout: Layout, documents: int) -> None:
    """Raises BalanceError unless the shards hold all documents and forget bytes of the masked table."""
    found = sum(report.documents for report in reports)
    if found != documents:
        raise BalanceError(f"{found} documents in the shards, {documents} in the masked table; export again")
    forgotten = sum(report.forget_bytes for report in reports)
    if forgotten != layout.forget_bytes:
        raise BalanceError(
            f"{forgotten} bytes forgotten in the shards, {layout.forget_bytes} in the masked table; run `tokensieve "
            "mask` again, then export"
        )


def sweep(folder: Path, manifest: Manifest) -> None:
    """Removes shards of earlier exports that the new manifest does not name."""
    named = {shard.prefix for shard in manifest.shards}
    for file in [*folder.glob("shard-*.*"), *(folder / "docs").glob("shard-*.parquet")]:
        if file.name.split(".")[0].removesuffix("_mask").removesuffix("_score") not in named:
            file.unlink()
