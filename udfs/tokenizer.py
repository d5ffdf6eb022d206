"""Text to token ids and the number of UTF-8 bytes that each token covers.

Byte lengths that tile the text are the contract between tokenizers, so a document whose lengths do not add up is
named in `failed` and never guessed at. Plain byte-level BPE takes a fast path (ids only, lengths from a table); every
other tokenizer pays for character offsets. Special tokens are never added and never recognised in a text.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import Encoding, Tokenizer

from udfs.tiktoken_ranks import TiktokenRanks

# Spark's Python daemon forks its workers. A tokenizer whose threads ran before a fork hangs in the child, and the
# parallelism is Spark's task slots anyway. A user who sets the variable keeps their choice.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True, kw_only=True)
class Tokenized:
    """D documents, T tokens in all, in the order of the texts.

    Attributes:
        ids_T: int32 token ids.
        bytes_T: int32 UTF-8 bytes of each token; 0 where a token adds no byte of its own.
        bounds_D1: int64; document d has the tokens bounds_D1[d]:bounds_D1[d + 1].
        failed: documents that could not be aligned, and why; they have no tokens here.
    """

    ids_T: np.ndarray
    bytes_T: np.ndarray
    bounds_D1: np.ndarray
    failed: dict[int, str]


class _Backend(Protocol):
    """What a kind of tokenizer file has to offer; `bytes_N` in the encodings is int64 per token."""

    vocab_size: int

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]: ...
    def token_id(self, literal: str) -> int | None: ...
    def decode(self, ids: Sequence[int]) -> str: ...


class ByteTokenizer:
    """A tokenizer read from one local file, whose tokens tile the bytes of a text.

    Attributes:
        path: the file it was read from.
        sha256: of that file's bytes, in hex.
        vocab_size: highest id + 1, added tokens counted.
    """

    def __init__(self, path: Path, sha256: str, backend: _Backend) -> None:
        self.path = path
        self.sha256 = sha256
        self.vocab_size = backend.vocab_size
        self._backend = backend

    @classmethod
    def load(cls, path: str | Path) -> "ByteTokenizer":
        """Reads a `tokenizer.json` (Hugging Face tokenizers) or a `*.tiktoken` rank file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is neither kind, or a rank file whose name is no known encoding.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"tokenizer file {path} does not exist; give a tokenizer.json or a *.tiktoken file")
        data = path.read_bytes()
        backend = TiktokenRanks(path, data) if path.suffix == ".tiktoken" else _HuggingFace(path, data)
        return cls(path, hashlib.sha256(data).hexdigest(), backend)

    def encode(self, texts: Sequence[str]) -> Tokenized:
        """Tokens of every text, without special tokens. Never raises for what a text holds: see `failed`."""
        sizes, failed = _utf8_sizes(texts)
        good = [d for d in range(len(texts)) if d not in failed]
        ids_N, bytes_N = [_EMPTY] * len(texts), [_EMPTY] * len(texts)
        for d, (ids, lengths) in zip(good, self._backend.encode([texts[d] for d in good]), strict=True):
            covered = int(lengths.sum())
            if covered == sizes[d]:
                ids_N[d], bytes_N[d] = ids, lengths
            else:
                failed[d] = f"its {len(ids)} tokens cover {covered} of {sizes[d]} UTF-8 bytes (tokenizer {self.path})"
        counts = np.array([len(ids) for ids in ids_N], dtype=np.int64)
        return Tokenized(
            ids_T=np.concatenate([_EMPTY, *ids_N]).astype(np.int32),
            bytes_T=np.concatenate([_EMPTY, *bytes_N]).astype(np.int32),
            bounds_D1=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            failed=failed,
        )

    def token_id(self, literal: str) -> int | None:
        """The id of a token by its literal (special tokens included), None where the vocabulary lacks it."""
        return self._backend.token_id(literal)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, special tokens included; incomplete UTF-8 becomes U+FFFD."""
        return self._backend.decode(ids)


def byte_offsets(text: str) -> np.ndarray:
    """The byte at which each of C characters starts in UTF-8, and the length at the end: int64 [C + 1]."""
    code_C = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    sizes_C = 1 + (code_C > 0x7F) + (code_C > 0x7FF) + (code_C > 0xFFFF)
    return np.concatenate([[0], np.cumsum(sizes_C)]).astype(np.int64)


_EMPTY = np.zeros(0, dtype=np.int64)


def _utf8_sizes(texts: Sequence[str]) -> tuple[list[int], dict[int, str]]:
    """Bytes per text, and the texts that have no UTF-8 form (lone surrogates)."""
    sizes, failed = [0] * len(texts), {}
    for d, text in enumerate(texts):
        try:
            sizes[d] = len(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            failed[d] = f"the text has no UTF-8 form: lone surrogate at character {error.start}; mend it at the source"
    return sizes, failed


class _HuggingFace:
    """A `tokenizer.json`, by the table of byte lengths where that is exact, else by character offsets."""

    def __init__(self, path: Path, data: bytes) -> None:
        try:
            text = data.decode("utf-8")
            spec = json.loads(text)
        except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are both ValueErrors
            raise ValueError(
                f"{path} is no tokenizer.json ({error}); a tiktoken rank file must end in .tiktoken"
            ) from None
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Without this, "<|endoftext|>" written in a document would become the real end-of-text token.
        self._tokenizer.encode_special_tokens = True
        vocab = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocab.values()) + 1
        self._bytes_V = _byte_table(spec, vocab) if _is_plain_byte_level(spec) else None

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        if self._bytes_V is None:
            return self._by_offsets(texts)
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids_N = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        result = [(ids, self._bytes_V[ids]) for ids in ids_N]
        # The table is a promise of the file's shape; a document that breaks it goes by offsets instead.
        broken = [d for d, (_, lengths) in enumerate(result) if lengths.sum() != len(texts[d].encode("utf-8"))]
        for d, pair in zip(broken, self._by_offsets([texts[d] for d in broken]), strict=True):
            result[d] = pair
        return result

    def _by_offsets(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [_tiled(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]

    def token_id(self, literal: str) -> int | None:
        return self._tokenizer.token_to_id(literal)

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def _is_plain_byte_level(spec: dict) -> bool:
    """True when every token's literal spells its bytes: byte-level BPE, nothing normalised, nothing put in front."""
    model, pre, decoder = spec["model"], spec.get("pre_tokenizer") or {}, spec.get("decoder") or {}
    steps = pre.get("pretokenizers", []) if pre.get("type") == "Sequence" else [pre]
    byte_level = [step for step in steps if step.get("type") == "ByteLevel"]
    return (
        model.get("type") == "BPE"
        and spec.get("normalizer") is None
        and decoder.get("type") == "ByteLevel"
        and len(byte_level) == 1
        and not byte_level[0].get("add_prefix_space")
        and not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"))
    )


def _byte_table(spec: dict, vocab: dict[str, int]) -> np.ndarray:
    """int64 bytes per id: byte-level literals spell one byte per character, added tokens are literal text."""
    added = {token["content"] for token in spec.get("added_tokens", [])}
    bytes_V = np.zeros(max(vocab.values()) + 1, dtype=np.int64)
    for literal, token in vocab.items():
        bytes_V[token] = len(literal.encode("utf-8")) if literal in added else len(literal)
    return bytes_V


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
