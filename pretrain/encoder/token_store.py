"""The documents of one source as token ids on disk, whatever they came from: our token cache or an export.

Ids stay in memory maps with the dtype that their file's header states; what is held in memory is 28 bytes a document.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashing import below
from tokensieve.pretrain.shards.shard import ShardReader


class SourceRecord(BaseModel):
    """What a source holds and what was left out; stored beside its tokens, shown on the card.

    Attributes:
        id: 16 hex digits that name the content: files, filter and tokenizer. files: SHA-256 by name.
        filtered, empty: documents that the filter left out, and those without text or tokens.
        untokenised: documents whose tokens do not tile their bytes. licenses: documents by licence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    id: str
    tokenizer_sha256: str
    files: dict[str, str]
    documents: int = Field(ge=1)
    tokens: int = Field(ge=1)
    filtered: int = Field(default=0, ge=0)
    empty: int = Field(default=0, ge=0)
    untokenised: int = Field(default=0, ge=0)
    licenses: dict[str, int] = Field(default={})


@dataclass(frozen=True, kw_only=True)
class TokenStore:
    """D documents of one source.

    Attributes:
        reader_D, start_D, length_D: the shard of each document, its first token there (both int64), its tokens.
        hash_D: uint64 hash of the content, which decides about order and held-out split.
        vocabulary: ids are below it.
    """

    record: SourceRecord
    readers: tuple[ShardReader, ...]
    reader_D: np.ndarray
    start_D: np.ndarray
    length_D: np.ndarray
    hash_D: np.ndarray
    vocabulary: int

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def tokens(self) -> int:
        return int(self.length_D.sum(dtype=np.int64))

    def heldout(self, share: float) -> np.ndarray:
        """The documents, bool [D], whose content hash falls in the share; equal documents fall on one side."""
        return below(self.hash_D, share)

    def gather(self, doc_N: np.ndarray, start_N: np.ndarray, length_N: np.ndarray) -> np.ndarray:
        """The ids of N pieces of documents end to end, int64; piece n is `length_N[n]` tokens from `start_N[n]` on.

        Raises:
            DatasetError: an id outside the vocabulary; the file was changed after it was written.
        """
        pieces = []
        for doc, start, length in zip(doc_N.tolist(), start_N.tolist(), length_N.tolist(), strict=True):
            first = int(self.start_D[doc]) + start
            pieces.append(self.readers[int(self.reader_D[doc])].ids_T[first : first + length])
        ids_T = np.concatenate([np.zeros(0, np.int64), *pieces], dtype=np.int64, casting="safe")
        if len(ids_T) and not 0 <= int(ids_T.min()) <= int(ids_T.max()) < self.vocabulary:
            raise DatasetError(
                f"source {self.name}: token ids from {ids_T.min()} to {ids_T.max()} in documents {doc_N[:3].tolist()}, "
                f"but the tokenizer has {self.vocabulary}; the token files were changed: delete them and run again"
            )
        return ids_T
