"""Places where a text can be cut so that the tokens of the pieces are exactly those of the whole.

Byte-level BPE merges within what the splitting pattern matches, so a cut is exact where every alternative of the
pattern, started anywhere before, ends there or earlier and would if the text ended there too. For the patterns of
GPT-2, cl100k, Llama 3, Qwen 2 and o200k that holds before ASCII that no letter, digit or apostrophe continues, before a
space after anything that is no space, and before 、。， after an ideograph. Other tokenizers are not cut.
"""

from typing import Any

import numpy as np

from tokensieve.udfs.tokenizing.byte_level import pre_tokenizer_steps
from tokensieve.udfs.tokenizing.tiktoken_ranks import CL100K_PATTERN, O200K_PATTERN, R50K_PATTERN

_LLAMA3 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_TIKTOKEN = (R50K_PATTERN, CL100K_PATTERN, O200K_PATTERN)
KNOWN_PATTERNS = frozenset(
    [
        *_TIKTOKEN,
        *(pattern.replace("}+", "}") for pattern in _TIKTOKEN),  # as pretrain/convert writes them
        _GPT2,
        _LLAMA3,
        _LLAMA3.replace("{1,3}", ""),  # Qwen 2
    ]
)
SPACE, CONTINUATION = 0x20, 0x80


def are_exact(spec: dict[str, Any]) -> bool:
    """True when `cuts` is known to hold for this tokenizer.json."""
    steps, model, normalizer = pre_tokenizer_steps(spec), spec["model"], spec.get("normalizer")
    plain = [step.get("type") for step in steps] in (["ByteLevel"], ["Split", "ByteLevel"])
    return (
        plain
        and model.get("type") == "BPE"
        and not model.get("dropout")
        and not steps[-1].get("add_prefix_space")
        # NFC composes nothing with the characters that a piece begins with.
        and (normalizer is None or normalizer.get("type") == "NFC")
        and (_is_known(steps[0]) if len(steps) == 2 else steps[0].get("use_regex", True))
        and all(token.get("special") or _is_harmless(token) for token in spec.get("added_tokens", []))
    )


def cuts(data_B: np.ndarray, first: int, stop: int) -> np.ndarray:
    """The places in first:stop, within 1:len(data_B), where a piece of UTF-8 can begin: int64, rising."""
    before, after = data_B[first - 1 : stop - 1], data_B[first:stop]
    places = _ASCII_256_256[before, after]
    wide = (before >= CONTINUATION) & np.isin(after, (SPACE, 0xE3, 0xEF))
    for at in (np.flatnonzero(wide) + first).tolist():
        places[at - first] = _after_wide(bytes(data_B[max(at - 3, 0) : at + 3]), min(at, 3))
    return np.flatnonzero(places) + first


def _is_known(step: dict[str, Any]) -> bool:
    isolated = step.get("behavior") == "Isolated" and not step.get("invert")
    return isolated and step.get("pattern", {}).get("Regex") in KNOWN_PATTERNS


def _is_harmless(token: dict[str, Any]) -> bool:
    """An added token is matched before the pattern, so no cut may lie within it, nor may it look around itself."""
    data_B = np.frombuffer(token["content"].encode("utf-8"), np.uint8)
    around = any(token.get(key) for key in ("single_word", "lstrip", "rstrip"))
    return not around and not len(cuts(data_B, 1, len(data_B)))


def _after_wide(around: bytes, at: int) -> bool:
    """Can a piece begin at place `at` of a few bytes, where a character of several bytes ends?"""
    lead = around[at - 3] if at == 3 else 0
    if around[at] == SPACE:  # no white space begins with another byte than these
        return around[at - 2] != 0xC2 and lead not in (0xE1, 0xE2, 0xE3)
    ideograph = 0xE5 <= lead <= 0xE8  # U+5000 to U+8FFF
    return ideograph and around[at:] in _CJK_STOPS


_CJK_STOPS = ("、".encode(), "。".encode(), "，".encode())


def _ascii_places() -> np.ndarray:
    """bool [256, 256]: can a piece begin between these two bytes?"""
    letters, digits = np.zeros(256, bool), np.zeros(256, bool)
    letters[[*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)]] = True
    digits[ord("0") : ord("9") + 1] = True
    ascii_256 = np.arange(256) < 128
    visible = (np.arange(256) > SPACE) & (np.arange(256) < 127)
    ends = ascii_256 & ~letters & ~digits
    ends[ord("'")] = False
    places = np.outer(letters | digits, ends) | np.outer(letters, digits) | np.outer(digits, letters)
    places[visible, SPACE] = True
    return places


_ASCII_256_256 = _ascii_places()
