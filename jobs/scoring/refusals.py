"""What a scoring job refuses before it reads a row: names that would clash, and tables inside their own source."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.quarantined_rows import FIRST
from tokensieve.jobs.source.files import source_path
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.udfs.files.storage import is_remote, without_scheme
from tokensieve.udfs.reading.parts import PROVENANCE


def refuse_clashes(schema: pa.Schema, policies: Collection[str], text: str) -> None:
    """Raises ConfigError for names that would meet in one table; Spark does not tell capitals apart.

    Args: the source's columns, the names of the policies, the text column's.
    """
    ours = {"doc_id", "text_hash", "reason", "detail", *(field.name for field in PROVENANCE), *policies}
    ours |= {f"doc_score_{policy}" for policy in policies}
    ours |= {FIRST, "decision", "forget_spans", "action", "forget_bytes", "rule_id", "batch"}
    clash = sorted(name for name in schema.names if name.lower() in ours)
    if clash:
        raise ConfigError(
            f"source column {clash[0]!r} has a name that our tables need; rename the column or the policy"
        )
    if text != "text" and "text" in (name.lower() for name in schema.names):
        raise ConfigError(
            "the masked table holds the text as `text`, but the source has another column of that name beside "
            f"source.columns.text={text}; rename it in the source"
        )


def refuse_nesting(source: SourceConfig, tables: TablesConfig) -> None:
    """Raises ConfigError for tables below the source's folder: they would be part of the source the next time."""
    path = source_path(source)
    if is_remote(path) or not tables.store.local:
        nested = f"{without_scheme(tables.store.uri())}/".startswith(f"{without_scheme(path)}/")
    else:
        folder = Path(path)
        nested = folder.is_dir() and tables.folder.resolve().is_relative_to(folder.resolve())
    if nested:
        raise ConfigError(f"tables.root {tables.root} lies in source.path {source.path}; put it elsewhere")
