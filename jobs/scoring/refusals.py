"""What a scoring job refuses before it reads a row: names that would clash, and tables inside their own source."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.quarantined_rows import FIRST
from tokensieve.jobs.source.files import source_path
from tokensieve.udfs.files.storage import is_remote, without_scheme
from tokensieve.udfs.reading.parts import PROVENANCE

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config


def refuse_clashes(schema: pa.Schema, config: "Config") -> None:
    """Raises ConfigError for names that would meet in one table; Spark does not tell capitals apart."""
    ours = {"doc_id", "text_hash", "reason", "detail", *(field.name for field in PROVENANCE), *config.policies}
    ours |= {f"doc_score_{policy}" for policy in config.policies}
    ours |= {FIRST, "decision", "forget_spans", "action", "forget_bytes", "rule_id", "batch"}
    clash = sorted(name for name in schema.names if name.lower() in ours)
    if clash:
        raise ConfigError(
            f"source column {clash[0]!r} has a name that our tables need; rename the column or the policy"
        )
    text = config.source.columns.text
    if text != "text" and "text" in (name.lower() for name in schema.names):
        raise ConfigError(
            "the masked table holds the text as `text`, but the source has another column of that name beside "
            f"source.columns.text={text}; rename it in the source"
        )


def refuse_nesting(config: "Config") -> None:
    """Raises ConfigError for tables below the source's folder: they would be part of the source the next time."""
    path = source_path(config.source)
    if is_remote(path) or not config.tables.store.local:
        nested = f"{without_scheme(config.tables.store.uri())}/".startswith(f"{without_scheme(path)}/")
    else:
        source = Path(path)
        nested = source.is_dir() and config.tables.folder.resolve().is_relative_to(source.resolve())
    if nested:
        raise ConfigError(
            f"tables.root {config.tables.root} lies in source.path {config.source.path}; put it elsewhere"
        )
