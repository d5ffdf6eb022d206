"""Where shards lie. Megatron maps them into memory, so it is a folder of a disk or a mount wherever the tables are."""

from pathlib import Path

from jobs.errors import ConfigError
from jobs.exporting.config import ExportConfig
from jobs.tables import TablesConfig


def shards_folder(export: ExportConfig, tables: TablesConfig) -> Path:
    """`export.folder`, else `shards` below `tables.root`, with the name of the variant; absolute.

    Raises ConfigError when the root is on an object store and no folder is named.
    """
    if export.folder is not None:
        folder = Path(export.folder).absolute()
        return folder.with_name(tables.named(folder.name))
    if not tables.store.local:
        raise ConfigError(
            f"export.folder is not set: tables.root {tables.root} is on an object store, and shards are written to and "
            "read from a local or mounted folder; name one, export.to copies the shards elsewhere"
        )
    return tables.folder / tables.named("shards")
