"""Cuts a text into sentences by a few fixed rules, as UTF-8 byte spans that tile the text.

Rules instead of a learned splitter: nothing to download, the same cut everywhere and for ever, since labels of
sentences are paid for. Traded away: an unknown abbreviation before a capital letter ends a sentence too early, which
costs a label's context but no byte.
"""

import re
from itertools import pairwise

import numpy as np

# A word before a full stop that does not end a sentence; single letters (initials, "e.g.") never do.
ABBREVIATIONS = frozenset(
    "al approx apr art aug ave bros ca capt cf ch chap co col corp cpl dec dept dr ed eds eq eqs esp est etc feb fig "  # noqa: SIM905
    "figs gen gov hon inc inst jan jr jul jun lt ltd maj mar max messrs min misc mr mrs ms mt no nos nov nr oct op pl "
    "pp prof pt ref refs rep rev sec sen sep sept sgt sr st suppl tab univ viz vol vols vs".split()
)
LONGEST = 1_000
"""Characters; what has no end of sentence for longer than that is cut between words."""
_BORDER = re.compile(  # possessive (++, *+), so that a long run of one character is read once
    r"(?<![.!?…])(?P<stop>[.!?…]++)[\"'”’»)\]]*+\s++(?![a-z,;:])"  # an end mark, space, no lower-case letter after it
    r"|[。！？｡]++[」』”’）]*+\s*+"  # scripts that set no space between sentences
    r"|\n[ \t\r]*+\n\s*+"  # an empty line
    r"|\n(?=[ \t]*+(?:[-*•#|]|\d{1,3}[.)])\s)"  # the next item of a list, a heading, a row of a table
)
_LAST_WORD = re.compile(r"(\w+)$")


def sentence_spans(text: str) -> np.ndarray:
    """Byte spans of the text's sentences: int64 [S, 2], sorted, end to end from 0 to its last byte.

    White space belongs to the sentence before it, at the beginning to the first. An empty text has none. None is longer
    than LONGEST characters.
    """
    cuts = [0, *_cuts(text), len(text)]
    sizes_S = np.array([len(text[start:end].encode()) for start, end in pairwise(cuts) if end > start], dtype=np.int64)
    ends_S = np.cumsum(sizes_S)
    return np.stack([ends_S - sizes_S, ends_S], axis=1).reshape(-1, 2)


def split(text: str, spans_S2: np.ndarray) -> list[str]:
    """The texts of byte spans that begin and end between characters."""
    raw = text.encode()
    return [raw[start:end].decode() for start, end in spans_S2.tolist()]


def _cuts(text: str) -> list[int]:
    """Character offsets, ascending, inside the text, at which a sentence begins."""
    first = len(text) - len(text.lstrip())
    cuts: list[int] = []
    for border in _BORDER.finditer(text, first):
        if border["stop"] != "." or not _abbreviated(text, border.start(), border.group()):
            cuts += [*_shorter(text, cuts[-1] if cuts else 0, border.end()), border.end()]
    return [*cuts, *_shorter(text, cuts[-1] if cuts else 0, len(text))]


def _abbreviated(text: str, at: int, border: str) -> bool:
    """The full stop at `at` belongs to an abbreviation, an initial or the number of a list's item."""
    if "\n\n" in border:
        return False
    word = _LAST_WORD.search(text, max(0, at - 20), at)
    if word is None:
        return False
    before = text[word.start() - 1 : word.start()]
    letter = len(word[1]) == 1 and not word[1].isdigit() and word[1] != "I"
    item = word[1].isdigit() and len(word[1]) <= 3 and before in ("", "\n")
    return letter or item or word[1].lower() in ABBREVIATIONS


def _shorter(text: str, start: int, end: int) -> list[int]:
    """Offsets that cut text[start:end] into pieces of at most LONGEST characters, after white space where there is."""
    cuts = []
    while end - start > LONGEST:
        space = max(text.rfind(mark, start + LONGEST // 2, start + LONGEST) for mark in (" ", "\n", "\t"))
        start = space + 1 if space > 0 else start + LONGEST
        cuts.append(start)
    return cuts
