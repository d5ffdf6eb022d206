"""Documents as they lie in the shards: where each one is, its ids and loss mask, and its tokens as readable text.

Reads what training will read, through the manifest, so that a page or a trace cannot show something else. The text is
decoded token by token, which is slow and meant for the few documents that somebody looks at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tokensieve.pretrain.shards.manifest import Manifest, inside
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPLACEMENT = "\ufffd"
HIDDEN = "<|hidden|>"  # how the hidden id is shown where the tokenizer has no such token


@dataclass(frozen=True, kw_only=True)
class Place:
    """A document's place: the shard's prefix in the manifest and the document's number in that shard."""

    shard: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One document of T tokens, eod included, read from its shard."""

    place: Place
    ids_T: np.ndarray  # int64
    loss_mask_T: np.ndarray  # uint8, 1 = take the loss when this token is the label


@dataclass(frozen=True, kw_only=True)
class TokenGroup:
    """Tokens `first` to `end` (exclusive) of a document that decode to whole characters only together."""

    first: int
    end: int
    text: str


class Shards:
    """The exported shards of a corpus. Raises ManifestError without a manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest.load(folder)
        self._tokenizer: ByteTokenizer | None = None

    @property
    def tokenizer(self) -> ByteTokenizer:
        """The pretraining tokenizer that lies beside the shards."""
        if self._tokenizer is None:
            self._tokenizer = ByteTokenizer.load(inside(self.folder, self.manifest.tokenizer.file))
        return self._tokenizer

    def places(self, spark: "SparkSession", doc_ids: Sequence[str]) -> dict[str, Place]:
        """Where these documents are; those that are in no shard are left out."""
        if not self.manifest.shards or not doc_ids:
            return {}
        from pyspark.sql import functions as F

        files = [str(inside(self.folder, shard.docs)) for shard in self.manifest.shards]
        rows = spark.read.parquet(*files).where(F.col("doc_id").isin(list(doc_ids)))
        found = rows.select("doc_id", "shard", "index").collect()
        return {row["doc_id"]: Place(shard=row["shard"], index=row["index"]) for row in found}

    def read(self, place: Place) -> Exported:
        """One document's tokens. Raises CorruptShardError, IndexError."""
        reader = ShardReader(inside(self.folder, place.shard))
        return Exported(
            place=place,
            ids_T=np.asarray(reader.ids(place.index), dtype=np.int64),
            loss_mask_T=np.asarray(reader.loss_mask(place.index)),
        )

    def groups(self, exported: Exported, first: int = 0, end: int | None = None) -> list[TokenGroup]:
        """Tokens `first` to `end` as text. A window that would begin inside a character begins before it."""
        ids, end = exported.ids_T.tolist(), len(exported.ids_T) if end is None else end
        while first > 0 and self._text(ids[first : first + 4]).startswith(REPLACEMENT):
            first -= 1
        return list(self._groups(ids[:end], first))

    def _groups(self, ids: list[int], first: int) -> Iterator[TokenGroup]:
        # Decoding ever longer runs, not single tokens: some tokenizers spell a token by what stands before it.
        begin, shown = first, 0
        for end in range(first + 1, len(ids) + 1):
            text = self._text(ids[first:end])
            if text.endswith(REPLACEMENT) and end < len(ids):
                continue  # most likely the beginning of a character
            yield TokenGroup(first=begin, end=end, text=text[shown:])
            begin, shown = end, len(text)

    def _text(self, ids: list[int]) -> str:
        """The text of ids; a hidden id past the tokenizer's own vocabulary has no text there."""
        hidden = self.manifest.tokenizer.hidden_id
        if hidden < self.tokenizer.vocab_size or hidden not in ids:
            return self.tokenizer.decode(ids)
        runs = np.split(np.asarray(ids), np.flatnonzero(np.asarray(ids) == hidden))
        decoded = [self.tokenizer.decode(run[at > 0 :].tolist()) for at, run in enumerate(runs)]
        return HIDDEN.join(decoded)
