"""Makes text from a corpus safe to look at: controls and direction marks become visible characters.

A crawled document can hold escape sequences that rewrite a terminal and marks that reverse the order of a page.
Every character that shows nothing of its own is replaced by a symbol or by its code point; all others stay.
"""

import re

# Joiners (U+200C, U+200D) are not among them: scripts and emoji need them. Tab and newline are layout.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    r"\u200b\u2028\u2029\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"  # no width, separators, tags
)


def visible(text: str) -> str:
    """`text` with every control and direction mark replaced; newline and tab stay."""
    return _UNSEEN.sub(lambda found: _symbol(found[0]), text)


def one_line(text: str, limit: int = 72) -> str:
    """`visible` text on one line of at most `limit` characters, newline and tab as symbols."""
    shown = visible(text[: limit + 1]).replace("\n", "\u240a").replace("\t", "\u2409")
    return shown if len(text) <= limit else shown[: limit - 1] + "\u2026"


def _symbol(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\u27e8U+{code:04X}\u27e9"
