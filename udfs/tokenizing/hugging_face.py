"""A `tokenizer.json` through Hugging Face tokenizers: the reference for every tokenizer.json.

Byte lengths by table where that is exact, else by character offsets, which cost more.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from tokensieve.udfs.tokenizing.byte_level import byte_table, is_plain_byte_level
from tokensieve.udfs.tokenizing.cuts import are_exact
from tokensieve.udfs.tokenizing.texts import Encoded, Texts, byte_offsets

# Spark's Python daemon forks its workers. A tokenizer whose threads ran before a fork hangs in the child, and the
# parallelism is Spark's task slots anyway. A user who sets the variable keeps their choice.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class HuggingFaceJson:
    """Special tokens are never added and never recognised in a text. `bytes_V`: bytes per id, None without a table.

    Raises ValueError for a file that is no tokenizer.json.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.spec = _parsed(path, data)
        self._tokenizer = Tokenizer.from_str(data.decode("utf-8"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Without this, "<|endoftext|>" written in a document would become the real end-of-text token.
        self._tokenizer.encode_special_tokens = True
        self.exact_cuts = are_exact(self.spec)
        self.vocab = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self.vocab.values()) + 1
        self.specials = tuple(token["content"] for token in self.spec.get("added_tokens", []))
        self.bytes_V = byte_table(self.spec, self.vocab) if is_plain_byte_level(self.spec) else None

    def encode(self, texts: Texts) -> Encoded:
        """Tokens of every text."""
        strings = texts.strings()
        if self.bytes_V is None:
            return self.by_offsets(strings)
        encodings = self._tokenizer.encode_batch_fast(strings, add_special_tokens=False)
        ids_N = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        parts = [(ids, self.bytes_V[ids]) for ids in ids_N]
        # The table is a promise of the file's shape; a document that breaks it goes by offsets instead.
        broken = [d for d, size in enumerate(np.diff(texts.bounds_D1)) if parts[d][1].sum() != size]
        for d, pair in zip(broken, self._tiled([strings[d] for d in broken]), strict=True):
            parts[d] = pair
        return Encoded.of(parts)

    def by_offsets(self, strings: Sequence[str]) -> Encoded:
        """Tokens of every text with byte lengths from character offsets."""
        return Encoded.of(self._tiled(strings))

    def _tiled(self, strings: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        encodings = self._tokenizer.encode_batch(list(strings), add_special_tokens=False)
        return [_tiled(text, encoding) for text, encoding in zip(strings, encodings, strict=True)]

    def token_id(self, literal: str) -> int | None:
        """The id of a token by its literal, special tokens included."""
        return self._tokenizer.token_to_id(literal)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, special tokens included."""
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are both ValueErrors
        raise ValueError(f"{path} is no tokenizer.json ({error}); a tiktoken rank file must end in .tiktoken") from None


def _tiled(text: str, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Ids and byte lengths from character offsets.

    Bytes between two tokens belong to the later one, a tail to the last one; of tokens that share a character (a
    character split over byte tokens) the first gets its bytes and the others 0.
    """
    ids = np.array(encoding.ids, dtype=np.int64)
    if not len(ids):
        return ids, ids
    ends_T = np.maximum.accumulate(np.array(encoding.offsets, dtype=np.int64)[:, 1])
    ends_T[-1] = len(text)
    return ids, np.diff(byte_offsets(text)[ends_T], prepend=0)
