"""Byte-level BPE as a `tokenizer.json` describes it: when a token's literal spells its bytes, and which bytes.

The alphabet that stands for the 256 bytes is GPT-2's (openai/gpt-2, `src/encoder.py`, `bytes_to_unicode`).
"""

from typing import Any

import numpy as np


def byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte, to the byte: printable ones for themselves, others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(rest)}


def is_plain_byte_level(spec: dict[str, Any]) -> bool:
    """True when every token's literal spells its bytes: byte-level BPE, nothing normalised, nothing put in front."""
    model, decoder = spec["model"], spec.get("decoder") or {}
    byte_level = [step for step in pre_tokenizer_steps(spec) if step.get("type") == "ByteLevel"]
    return (
        model.get("type") == "BPE"
        and spec.get("normalizer") is None
        and decoder.get("type") == "ByteLevel"
        and len(byte_level) == 1
        and not byte_level[0].get("add_prefix_space")
        and not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"))
    )


def pre_tokenizer_steps(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizer's steps in their order."""
    pre = spec.get("pre_tokenizer") or {}
    return pre.get("pretokenizers", []) if pre.get("type") == "Sequence" else [pre]


def byte_table(spec: dict[str, Any], vocab: dict[str, int]) -> np.ndarray:
    """int32 bytes per id: byte-level literals spell one byte per character, added tokens are literal text."""
    added = {token["content"] for token in spec.get("added_tokens", [])}
    bytes_V = np.zeros(max(vocab.values()) + 1, dtype=np.int32)
    for literal, token in vocab.items():
        bytes_V[token] = len(literal.encode("utf-8")) if literal in added else len(literal)
    return bytes_V
