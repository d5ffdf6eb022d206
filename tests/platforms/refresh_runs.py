"""A corpus that grows by one shard of the demo's text a refresh, and what must be true of its tables each time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs import mask, score
from tokensieve.jobs.config.corpus import Config, load_config
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards

ROWS = 12  # of a shard: real text is slow to score
TABLES = ("scores", "quarantine", "masked")


def add_shard(project: Path, repository: Path, at: int, without_text: int = 0) -> None:
    """Writes the source's shard number `at`; its last `without_text` documents have none."""
    rows = pq.read_table(repository / "conf" / "demo" / "demo-00000-of-00002.parquet").slice(at * ROWS, ROWS)
    texts = rows.column("text").to_pylist()[: ROWS - without_text] + [None] * without_text
    rows = rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
    (project / "source").mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, project / "source" / f"part-{at:05d}.parquet")


def write_project(project: Path) -> Path:
    """Writes `corpus.yaml` with paths relative to its folder, and returns it."""
    file = project / "corpus.yaml"
    project.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "source: {path: source}\n"
        "tables: {root: tables}\n"
        "policies:\n"
        "  medicine:\n"
        "    definition: medicine\n"
        "    bundle: medicine-tiny\n"
        "    rule: {action: mask, threshold: 0.5, min_tokens: 4, bridge_tokens: 8, drop_share: 0.99}\n"
        "export: {tokenizer: conf/demo/tokenizer.json}\n"
    )
    return file


def equal_to_a_local_run(
    project: Path, format: str, spark: Any, *overrides: str, without: tuple[str, ...] = ()
) -> dict[str, int]:
    """Asserts that tables and shards are those of a run from scratch in this process; returns the documents' counts.

    `without`: columns that are not compared.
    """
    found, expected = (
        _config(project, root, f"tables.format={format}", *overrides) for root in ("tables", "reference")
    )
    score.run(expected, spark)
    counts = mask.run(expected, spark)["documents"]
    for name in TABLES:
        assert _rows(found, name, spark, without).equals(_rows(expected, name, spark, without)), name
    manifest = Manifest.load(found.shards)
    assert verify_shards(manifest, found.shards) == []
    assert manifest.documents == counts["keep"] + counts["mask"] + counts["hide"]
    return counts


def _config(project: Path, root: str, *overrides: str) -> Config:
    paths = [f"source.path={project / 'source'}", f"tables.root={project / root}"]
    return load_config(str(project / "corpus.yaml"), [*paths, *overrides])


def _rows(config: Config, name: str, spark: Any, without: tuple[str, ...]) -> pa.Table:
    rows = config.tables.table(name).read(spark).drop(*without)
    return rows.select(*sorted(rows.columns)).orderBy("source_file", "source_row").toArrow()
