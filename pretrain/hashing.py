"""Pseudo-random choices that depend on content, seed and position alone, never on the order of rows or of calls."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash

GAMMA, _FIRST, _SECOND = (np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 of any shape to well-mixed uint64, one to one (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2 ** 64 is meant
        x = values.astype(np.uint64) + GAMMA
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def salt(*numbers: int) -> np.uint64:
    """One uint64 that stands for a few non-negative integers, in their order."""
    text = " ".join(map(str, numbers))
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def content_hashes(contents: Iterable[bytes]) -> np.ndarray:
    """The first 8 bytes of each content's SHA-256, uint64 [D]: equal documents are equal everywhere."""
    heads = [hashlib.sha256(content).digest()[:8] for content in contents]
    return np.frombuffer(b"".join(heads), dtype=">u8").astype(np.uint64)


def id_hashes(ids: Sequence[str]) -> np.ndarray:
    """XXH3 of every id's UTF-8, uint64 [D]."""
    return np.fromiter((xxhash.xxh3_64_intdigest(one.encode()) for one in ids), np.uint64, len(ids))


def below(hash_N: np.ndarray, share: float) -> np.ndarray:
    """True for about this share of evenly spread hashes, bool [N]."""
    return hash_N < np.uint64(min(int(share * 2.0**64), 2**64 - 1))
