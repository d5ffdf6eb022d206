"""Section `tables`: where the tables of a corpus lie, and in which format."""

from pathlib import Path
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tokensieve.jobs.tables.open_store import open_store
from tokensieve.jobs.tables.store import NO_CONDITION, Store, unsafe
from tokensieve.jobs.tables.table import RELEASES, Format, Table
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, is_object_store, without_credentials


class TablesConfig(BaseModel):
    """Section `tables`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str
    """The folder of all tables: local, mounted on every node, or a prefix of an object store (s3a://, gs://, abfss://)."""
    format: Format = "parquet"
    variant: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names a second decision over the same scores: its table is `masked-VARIANT`, its shards `shards-VARIANT`."""
    storage: StorageConfig = PROVIDERS_OWN

    @field_validator("root")
    @classmethod
    def _known_place(cls, root: str) -> str:
        if len(urlparse(root).scheme) > 1 and not (root.startswith("file://") or is_object_store(root)):
            raise ValueError(str(unsafe(root, NO_CONDITION.format(scheme=urlparse(root).scheme))))
        return without_credentials(root)

    @property
    def store(self) -> Store:
        """Where the tables lie."""
        return open_store(self.root, self.storage)

    @property
    def folder(self) -> Path:
        """The root as an absolute path. Raises ConfigError on an object store."""
        return self.store.path()

    def table(self, name: str, format: Format | None = None) -> Table:
        """A table of the root."""
        name = self.named(name) if name == "masked" else name
        if (format or self.format) == "delta":
            from tokensieve.jobs.tables.delta_table import DeltaTable

            return DeltaTable(self.store, name)
        from tokensieve.jobs.tables.parquet_table import ParquetTable

        return ParquetTable(self.store, name)

    def forget_old(self, table: Table) -> None:
        """Lets go of a table's old versions, unless there are releases: then `tokensieve maintain vacuum` does."""
        if not self.store.names(RELEASES):
            table.forget_old()

    def named(self, name: str) -> str:
        """The name with the variant, where there is one."""
        return f"{name}-{self.variant}" if self.variant else name
