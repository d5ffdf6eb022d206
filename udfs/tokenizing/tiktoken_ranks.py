"""A tiktoken rank file as a tokenizer back end.

A rank file holds tokens and ranks but not the splitting pattern, so the encoding is known by the file's name. The
file is parsed here: tiktoken's own loader keeps a copy keyed by path, which would outlive a changed file.
Patterns and special tokens are those of tiktoken 0.12 (`tiktoken_ext/openai_public.py`).
"""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tiktoken import Encoding

from tokensieve.udfs.tokenizing.texts import Encoded, Texts

_END = "<|endoftext|>"
R50K_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
CL100K_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
O200K_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
_FIM = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
_KNOWN: dict[str, tuple[str, dict[str, int]]] = {
    "gpt2": (R50K_PATTERN, {_END: 50256}),
    "r50k_base": (R50K_PATTERN, {_END: 50256}),
    "p50k_base": (R50K_PATTERN, {_END: 50256}),
    "cl100k_base": (CL100K_PATTERN, {_END: 100257, **_FIM, "<|endofprompt|>": 100276}),
    "o200k_base": (O200K_PATTERN, {_END: 199999, "<|endofprompt|>": 200018}),
}


class TiktokenRanks:
    """Encodes with tiktoken; every rank is a byte string, so byte lengths are exact by construction.

    Raises:
        ValueError: the file's name is no known encoding, or a line is not `base64 rank`.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        if path.stem not in _KNOWN:
            known = ", ".join(sorted(_KNOWN))
            raise ValueError(
                f"{path}: no splitting pattern is known for {path.stem!r}; name the file after one of: {known}"
            )
        pattern, specials = _KNOWN[path.stem]
        ranks = _parse(path, data)
        # A special token whose id the file already uses would shadow a text token.
        used = set(ranks.values())
        specials = {literal: token for literal, token in specials.items() if token not in used}
        self.exact_cuts = True  # every pattern of _KNOWN is one of udfs.tokenizing.cuts
        self.pattern, self.ranks, self.special_ids = pattern, ranks, specials
        self.specials = tuple(specials)
        self._encoding = Encoding(path.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)
        self.vocab_size = max([*used, *specials.values()]) + 1
        self.bytes_V = np.zeros(self.vocab_size, dtype=np.int32)
        for token, rank in ranks.items():
            self.bytes_V[rank] = len(token)

    def encode(self, texts: Texts) -> Encoded:
        """Tokens of every text; special look-alikes are encoded as plain text."""
        return encode_ordinary(self._encoding, self.bytes_V, texts)

    def token_id(self, literal: str) -> int | None:
        """The id of a special token or of a token whose bytes are exactly this text."""
        return self.special_ids.get(literal, self.ranks.get(literal.encode("utf-8")))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; incomplete UTF-8 becomes U+FFFD."""
        return self._encoding.decode([int(i) for i in ids])


def encode_ordinary(encoding: Encoding, bytes_V: np.ndarray, texts: Texts) -> Encoded:
    """Tokens of every text through tiktoken, special look-alikes as plain text; `bytes_V` int32: bytes per id."""
    ids_N = [np.array(encoding.encode_ordinary(text), dtype=np.int32) for text in texts.strings()]
    return Encoded.of([(ids, bytes_V[ids]) for ids in ids_N])


def _parse(path: Path, data: bytes) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ValueError(f"{path}, line {number}: expected `base64 rank`, found {line[:40]!r} ({error})") from None
    if not ranks:
        raise ValueError(f"{path} holds no ranks; is it an empty or a cut file?")
    return ranks
