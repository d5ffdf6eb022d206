"""Section `export`: what needs another export. What a training run decides on its own is `pretrain.filter`.

Megatron maps shards into memory, so they lie in a folder of a disk or a mount wherever the tables are.
"""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig

LARGEST_SHARD = 4 * 2**30


class SplitsConfig(BaseModel):
    """Shares of the documents by a hash of their id: a document stays in its split whatever is added to the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    valid: float = Field(default=0.0, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} and test {self.test} leave nothing to train on")
        return self


class ExportConfig(BaseModel):
    """Section `export`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str | None = None
    """The pretraining tokenizer: a tokenizer.json, a *.tiktoken file, GPT-2's encoder.json with vocab.bpe beside it, or
    a folder with one of these (a path, or a file in `conf/`)."""
    backend: Literal["auto", "tokenizers", "tiktoken", "gigatoken"] = "auto"
    """What tokenizes. auto: the fastest that is installed and makes the same ids as the reference, on a fixed probe and
    on a sample of every shard; where it does not, the export is done again by the reference and says so."""
    eod: str = "<|endoftext|>"
    """The tokenizer's end-of-document token."""
    hidden: str = "<|hidden|>"
    """The token that replaces hidden ones; where the tokenizer lacks it, the first id after its vocabulary."""
    pad_vocabulary_to: int = Field(default=128, ge=1)
    """The padded vocabulary is a multiple of this (times the tensor-parallel size of the training run)."""
    splits: SplitsConfig = SplitsConfig()
    scores: str | None = None
    """The policy whose scores are written beside the tokens, so that a training run can choose the threshold."""
    shard_text_bytes: int | None = Field(default=None, ge=1, le=LARGEST_SHARD)
    """UTF-8 bytes of text per shard; None: 64 MiB, more for a large corpus (about 1,024 shards, at most 4 GiB)."""
    group_text_bytes: int | None = Field(default=None, ge=1)
    """UTF-8 bytes of text of the source files whose documents share shards: so much is exported again when one of them
    changes. None: 256 MiB, and at least a shard's."""
    whole: bool = False
    """Export the documents of unchanged source files, too: after damage that `verify` found."""
    seed: int = 0
    """Of the order of documents."""
    folder: str | None = None
    """Where the shards go; None: `<tables.root>/shards`. Megatron reads from disks, so a local or mounted folder."""
    to: str | None = None
    """Where a copy of the finished shard set goes: a URI of a file system that fsspec knows (s3://, gs://, hdfs://,
    file://)."""
    storage: StorageConfig = PROVIDERS_OWN
    """How the store of `to` is reached."""

    @field_validator("folder")
    @classmethod
    def _on_a_disk(cls, folder: str | None) -> str | None:
        if folder is not None and len(urlparse(folder).scheme) > 1:
            raise ValueError(
                "Megatron reads shards from disks; name a local or mounted folder, export.to copies elsewhere"
            )
        return folder


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
