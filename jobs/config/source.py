"""Section `source`: where the raw text lies, in which format, and which columns hold what."""

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, without_credentials


class ColumnsConfig(BaseModel):
    """Which source columns play a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = "text"
    id: str | None = None
    """None: the column `id` where the source has one, else ids are made from file and row."""


class SourceConfig(BaseModel):
    """Section `source`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """A file, a folder, or a glob; for delta the table's folder. Local, mounted on every node, or on an object store
    (s3a://, s3://, gs://, abfss://)."""
    storage: StorageConfig = PROVIDERS_OWN
    format: Literal["parquet", "jsonl", "delta"] = "parquet"
    columns: ColumnsConfig = ColumnsConfig()
    exclude: tuple[str, ...] = ()
    """Files that are no part of the source, by their names below its root or by glob: their documents leave the tables.
    Not for delta."""

    _without_credentials = field_validator("path")(without_credentials)

    def excludes(self, name: str) -> bool:
        """Whether a file of the source, by its name below the root, is left out."""
        return any(name == pattern or fnmatchcase(name, pattern) for pattern in self.exclude)
