"""One source of a mix: its manifest, and per document of its split the length, the place, and a hash of the id.

A mix that only weighs sources reads the manifests; the documents are read when some of them must be chosen. Lengths
come from the `.idx` files and ids from the document indices, so planning reads no token.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.errors import MixError, OtherTokenizerError
from tokensieve.pretrain.hashing import id_hashes
from tokensieve.pretrain.mix.config import CleanConfig, SourceConfig
from tokensieve.pretrain.shards.blend import FILE_NAME as BLEND
from tokensieve.pretrain.shards.manifest import FILE_NAME as MANIFEST
from tokensieve.pretrain.shards.manifest import Manifest, inside
from tokensieve.pretrain.shards.megatron_index import read_index
from tokensieve.pretrain.shards.shard import ShardReader, shard_file
from tokensieve.pretrain.shards.shard_info import ShardInfo, Split

TOKENIZER_KEYS = ("sha256", "eod", "hidden_id", "vocab_size", "padded_vocab_size")


@dataclass(frozen=True, kw_only=True)
class Documents:
    """D documents, shard after shard. `hash_D` depends on the document's id alone."""

    lengths_D: np.ndarray  # int64 tokens, eod counted
    starts_D: np.ndarray  # int64, first token in its shard
    shard_D: np.ndarray  # int32, number in Source.shards
    hash_D: np.ndarray  # uint64
    row_D: np.ndarray  # int64, the source's row, which decides between documents of one id


class Source:
    """A shard set as a source. Raises MixError without one, ManifestError for a manifest that cannot be read."""

    def __init__(self, name: str, config: CleanConfig | SourceConfig) -> None:
        self.name = name
        self.config = config
        self.folder = config.folder
        self.split: Split = config.split if isinstance(config, SourceConfig) else "train"
        _refuse_absent(name, config)
        self.manifest = Manifest.load(self.folder)
        self.shards = self.manifest.shards_of(self.split)
        self.tokens = sum(shard.tokens for shard in self.shards)
        self.loss_tokens = sum(shard.loss_tokens for shard in self.shards)
        if not self.tokens:
            raise MixError(
                f"{self}: its split {self.split} holds no tokens; export it with that split, or name another"
            )

    def __str__(self) -> str:
        return f"source {self.name} ({self.folder})"

    @cached_property
    def documents(self) -> Documents:
        """The documents of the split. Raises CorruptShardError, MixError: indices that do not fit the manifest."""
        lengths = [self._lengths(shard) for shard in self.shards]
        ids = self.docs(["doc_id", "source_row"])
        return Documents(
            lengths_D=np.concatenate(lengths),
            starts_D=np.concatenate([np.cumsum(lengths_D) - lengths_D for lengths_D in lengths]),
            shard_D=np.repeat(np.arange(len(lengths), dtype=np.int32), [len(lengths_D) for lengths_D in lengths]),
            hash_D=id_hashes(ids["doc_id"].to_pylist()),
            row_D=ids["source_row"].to_numpy(),
        )

    @cached_property
    def loss_D(self) -> np.ndarray:
        """Loss-bearing tokens per document, int64. Reads the split's masks, one byte a token."""
        starts = np.split(self.documents.starts_D, np.flatnonzero(np.diff(self.documents.shard_D)) + 1)
        masks = (np.asarray(ShardReader(self.folder / shard.prefix).loss_mask_T) for shard in self.shards)
        counts = (np.add.reduceat(mask_T, starts_D, dtype=np.int64) for mask_T, starts_D in zip(masks, starts))
        return np.concatenate(list(counts))

    def docs(self, columns: list[str] | None = None) -> pa.Table:
        """The document index of the split, shard after shard. Raises MixError: absent, damaged, of other documents."""
        return pa.concat_tables([self._docs(shard, columns) for shard in self.shards], promote_options="default")

    def _docs(self, shard: ShardInfo, columns: list[str] | None) -> pa.Table:
        path = inside(self.folder, shard.docs)
        try:
            table = pq.ParquetFile(path).read(columns)
        except (OSError, pa.ArrowException) as error:
            raise MixError(f"{self}: {path} cannot be read: {error}; export the source again") from error
        lacking = {"doc_id", "source_file", "source_row"} & set(columns or ()) - set(table.column_names)
        if lacking or table.num_rows != shard.documents:
            raise MixError(
                f"{self}: {path} has {table.num_rows} rows and lacks {sorted(lacking)}, the manifest says "
                f"{shard.documents} documents; export the source again"
            )
        return table

    def _lengths(self, shard: ShardInfo) -> np.ndarray:
        index = read_index(shard_file(inside(self.folder, shard.prefix), ".idx"))
        if (index.documents, index.elements) != (shard.documents, shard.tokens):
            raise MixError(
                f"{self}: {shard.prefix}.idx has {index.documents} documents and {index.elements} tokens, the manifest "
                f"says {shard.documents} and {shard.tokens}; export the source again"
            )
        return index.lengths_D.astype(np.int64)


def refuse_other_tokenizers(sources: list[Source]) -> None:
    """Raises OtherTokenizerError with both values where a source's tokenizer is not the first one's."""
    first = sources[0]
    for other in sources[1:]:
        one, two = first.manifest.tokenizer, other.manifest.tokenizer
        differing = [
            f"{key} is {getattr(one, key)} in {first.name} and {getattr(two, key)} in {other.name}"
            for key in TOKENIZER_KEYS
            if getattr(one, key) != getattr(two, key)
        ]
        if differing:
            raise OtherTokenizerError(
                f"{first} and {other} were exported with different tokenizers: {'; '.join(differing)}; export one of "
                "them again with the other's export.tokenizer, export.eod, export.hidden and export.pad_vocabulary_to"
            )


def _refuse_absent(name: str, config: CleanConfig | SourceConfig) -> None:
    folder = config.folder
    if (folder / MANIFEST).is_file():
        return
    if (folder / BLEND).is_file():
        raise MixError(f"source {name}: {folder} is a blend; name the shard sets that it blends as sources")
    if config.tables is None:
        raise MixError(f"source {name}: {folder} has no {MANIFEST}; name a folder that `tokensieve export` wrote")
    if not Path(config.tables).is_dir():
        raise MixError(f"source {name}: tables: there is no folder {config.tables}; name a configuration's tables.root")
    raise MixError(
        f"source {name}: the masked table of {config.tables} has not been exported; run `tokensieve export --config "
        f"FILE tables.root={config.tables}` with that corpus's configuration first"
    )
