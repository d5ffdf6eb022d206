"""Encodes a batch in pieces, so that a back end's temporary objects are those of a few megabytes of text.

Short texts go together, a long one is cut where that changes no token. What cannot be cut and is too long is refused:
every back end takes tens to hundreds of bytes for a byte of one word, and tiktoken panics on a million white spaces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.tokenizing.cuts import cuts
from tokensieve.udfs.tokenizing.texts import Backend, Encoded, Texts

CALL_BYTES = 4 * 2**20
PIECE_BYTES = 512 * 2**10
"""Of a text that can be cut: the longest piece, where there is a place to cut it."""
LONGEST_BYTES = 4 * 2**20
"""Of a text that can be cut: the longest piece at all."""
UNCUT_BYTES = 8 * 2**20
"""Of a text that cannot be cut: Hugging Face tokenizers take some 200 bytes of memory for each of its bytes."""
NEAR_BYTES = 4 * 2**10  # these before the end of a piece are searched first
_SPACES = re.compile(r"\s+")
_NO_CUTS = f"above the {UNCUT_BYTES:,} that this tokenizer can take, since it cannot be run on pieces of a text"


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Texts with the places where they are cut.

    Attributes:
        texts: the D texts; a refused one is empty.
        bounds_P1: int64; piece p is data_B[bounds_P1[p]:bounds_P1[p + 1]].
        first_D1: int64; text d has the pieces first_D1[d]:first_D1[d + 1], at least one.
        failed: the refused texts, and why.
    """

    texts: Texts
    bounds_P1: np.ndarray
    first_D1: np.ndarray
    failed: dict[int, str]


def pieces(texts: Texts, *, exact: bool) -> Pieces:
    """Cuts texts longer than PIECE_BYTES; `exact` says that the tokenizer allows it (`udfs.tokenizing.cuts`)."""
    inner: dict[int, list[int]] = {}
    failed: dict[int, str] = {}
    for d in np.flatnonzero(np.diff(texts.bounds_D1) > (PIECE_BYTES if exact else UNCUT_BYTES)).tolist():
        start, end = texts.bounds_D1[d : d + 2].tolist()
        found = _cuts(texts.data_B, start, end) if exact else _NO_CUTS
        if isinstance(found, str):
            failed[d] = f"{end - start:,} bytes, {found}; split the document at the source"
        else:
            inner[d] = found
    if failed:  # the cuts of the texts that stay move to where those are then
        moved, texts = texts.bounds_D1, texts.without(list(failed))
        inner = {d: [cut - int(moved[d] - texts.bounds_D1[d]) for cut in found] for d, found in inner.items()}
    counts_D = np.ones(len(texts), np.int64)
    for d, found in inner.items():
        counts_D[d] += len(found)
    every_cut = np.array([cut for found in inner.values() for cut in found], np.int64)
    return Pieces(
        texts=texts,
        bounds_P1=np.sort(np.concatenate([texts.bounds_D1, every_cut])),
        first_D1=np.concatenate([[0], np.cumsum(counts_D)]),
        failed=failed,
    )


def encode(backend: Backend, made: Pieces) -> Encoded:
    """Tokens of every text, as the back end would make them at once."""
    parts = [backend.encode(made.texts.part(bounds)) for bounds in _calls(made.bounds_P1)]
    if len(parts) == 1 and len(made.bounds_P1) == len(made.first_D1):
        return parts[0]
    ids, lengths, counts = ([getattr(part, name) for part in parts] for name in ("ids_T", "bytes_T", "bounds_D1"))
    parts.clear()  # so that each list can go once its array is made
    bounds_P1 = np.concatenate([[0], *(np.diff(bounds) for bounds in counts)]).cumsum(dtype=np.int64)
    return Encoded(ids_T=_joined(ids), bytes_T=_joined(lengths), bounds_D1=bounds_P1[made.first_D1])


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """int32, all parts end to end; empties the list."""
    made = np.concatenate([np.zeros(0, np.int32), *parts])
    parts.clear()
    return made


def _calls(bounds_P1: np.ndarray) -> Iterator[np.ndarray]:
    """Bounds of consecutive pieces, CALL_BYTES of text at most or one piece."""
    at, count = 0, len(bounds_P1) - 1
    while at < count:
        stop = int(np.searchsorted(bounds_P1, bounds_P1[at] + CALL_BYTES, "right")) - 1
        stop = max(at + 1, stop)
        yield bounds_P1[at : stop + 1]
        at = stop


def _cuts(data_B: np.ndarray, start: int, end: int) -> list[int] | str:
    """Where the text from `start` to `end` is cut, or why some piece would be too long."""
    found = []
    while end - start > PIECE_BYTES:
        cut = _next_cut(data_B, start, end)
        if cut - start > LONGEST_BYTES:
            return f"more than {LONGEST_BYTES:,} of them in a row without an end of a word, where it could be cut"
        if cut - start > PIECE_BYTES and _longest_space(data_B[start:cut]) >= PIECE_BYTES:
            return f"at least {PIECE_BYTES:,} of them white space in a row"
        if cut < end:
            found.append(cut)
        start = cut
    return found


def _next_cut(data_B: np.ndarray, start: int, end: int) -> int:
    """The last place within PIECE_BYTES of `start`, else the first behind them, else `end`, which lies behind them."""
    soft = min(start + PIECE_BYTES + 1, end)
    for first in (soft - NEAR_BYTES, start + 1):
        if len(near := cuts(data_B, first, soft)):
            return int(near[-1])
    behind = cuts(data_B, soft, min(start + LONGEST_BYTES + 1, end)).tolist()
    return behind[0] if behind else end


def _longest_space(piece_B: np.ndarray) -> int:
    return max(map(len, _SPACES.findall(bytes(piece_B).decode("utf-8", "replace"))), default=0)
