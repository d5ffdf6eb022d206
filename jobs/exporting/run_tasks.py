"""Runs the tasks that write shards, on the driver: each writes whole shards to a staging folder and reports them.

The driver renames what those attempts report whose result Spark took, so that retries and killed runs leave nothing
that a manifest could name.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tokensieve.jobs.config.export import SplitsConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.exporting.documents import Documents
from tokensieve.jobs.exporting.layout import Amount, Layout, ordered
from tokensieve.jobs.exporting.publish import check_balance, publish
from tokensieve.jobs.exporting.shard_task import ShardReport, ShardTask, write_shards
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def write_groups(
    documents: Documents,
    layout: Layout,
    group_of: Mapping[str, str],
    measured: Mapping[str, Amount],
    *,
    folder: Path,
    tokenizer: ByteTokenizer,
    info: TokenizerInfo,
    splits: SplitsConfig,
    seed: int,
    reference_if_differs: bool,
) -> list[ShardInfo]:
    """Writes the shards of a layout into the folder, and returns what a manifest says of them, in the layout's order.

    `group_of`: the group of each source file that is exported; `measured`: what each group holds;
    `reference_if_differs`: do it all again by the reference tokenizer where the fast one makes other tokens.
    Raises InputError, BalanceError.
    """
    with _staging(folder) as staging:
        replace_file(staging / info.file, tokenizer.data)
        rows = ordered(documents.to_write(group_of), layout, group_of, splits, seed)
        task = ShardTask(
            staging=str(staging),
            stems=tuple(slot.stem for slot in layout.slots),
            tokenizer=str(staging / info.file),
            backend=tokenizer.backend,
            info=info,
            hiding=documents.hiding,
            companion=documents.companion,
            doc_scores=tuple(documents.rules.policies),
        )
        reports = _write(rows, task, tokenizer, reference_if_differs)
        slots = [layout.slots[report.at] for report in reports]
        check_balance(slots, reports, measured)
        return [publish(folder, slot, report) for slot, report in zip(slots, reports, strict=True)]


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    for leftover in folder.glob("_staging-*"):  # of an export that was killed
        shutil.rmtree(leftover)
    staging = folder / f"_staging-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(rows: "DataFrame", task: ShardTask, tokenizer: ByteTokenizer, again: bool) -> list[ShardReport]:
    """Runs the tasks; returns one report per shard, as the attempts that Spark took for the result gave them."""
    reports = shard_reports(rows, task)
    differs = next((report.differs for report in reports if report.differs), None)
    if differs is None:
        return reports
    if not again:
        raise InputError(f"export.backend: {task.backend} makes other tokens than the reference: {differs}")
    tokenizer.use_reference(differs)
    return shard_reports(rows, replace(task, backend=tokenizer.backend))


def shard_reports(rows: "DataFrame", task: ShardTask) -> list[ShardReport]:
    """What the tasks report, in the order of shards."""
    collected = rows.mapInArrow(partial(write_shards, task), schema="report string").collect()
    reports = [ShardReport(**json.loads(row["report"])) for row in collected]
    return sorted(reports, key=lambda report: report.at)
