"""The small pieces of a page: text made safe to look at, shares, meters, lists.

A crawled document can hold markup, escape sequences that rewrite a terminal, and marks that reverse the order of a
page. Markup is escaped; every character that shows nothing of its own is replaced by a symbol or by its code point; all
others stay.
"""

import re
from collections.abc import Mapping
from html import escape

from tokensieve.udfs.reading.fault_reasons import meaning

PARTS = {
    "keep": "no forget span",
    "mask": "forgotten tokens bear no loss",
    "hide": "forgotten tokens are replaced, too",
    "drop": "in no shard",
    "quarantine": "could not be scored; in no shard",
}
# Joiners (U+200C, U+200D) are not among them: scripts and emoji need them. Tab and newline are layout.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    r"\u200b\u2028\u2029\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"  # no width, separators, tags
)


def e(text: str) -> str:
    """Text as it may stand in an element or a quoted attribute: escaped, its invisible characters made visible."""
    return escape(visible(text), quote=True)


def visible(text: str) -> str:
    """`text` with every control and direction mark replaced; newline and tab stay."""
    return _UNSEEN.sub(lambda found: _symbol(found[0]), text)


def one_line(text: str, limit: int = 72) -> str:
    """`visible` text on one line of at most `limit` characters, newline and tab as symbols."""
    shown = visible(text[: limit + 1]).replace("\n", "\u240a").replace("\t", "\u2409")
    return shown if len(text) <= limit else shown[: limit - 1] + "\u2026"


def share(part: int, whole: int) -> str:
    """A percentage; 0 of 0 is 0."""
    return f"{part / whole:.1%}" if whole else "0"


def change(after: float, before: float, form: str = ",") -> str:
    """A difference with its sign, in Python's format of numbers; nothing but 0 for none."""
    return format(after - before, f"+{form}") if after != before else "0"


def meter(part: int, whole: int) -> str:
    """A table cell with a bar and a percentage; the counts show under the pointer."""
    width = round(100 * part / whole, 1) if whole else 0
    bar = f'<span class="meter"><i style="width:{width}%"></i></span>'
    return f'<td class="share" title="{part:,} of {whole:,}">{bar}{share(part, whole)}</td>'


def bullets(items: tuple[str, ...]) -> str:
    """A list of escaped items."""
    return "<ul>" + "".join(f"<li>{e(item)}</li>" for item in items) + "</ul>"


def reason_table(reasons: Mapping[str, int]) -> str:
    """Quarantined documents by reason, each with what it means; empty where there are none."""
    if not reasons:
        return ""
    rows = "".join(
        f'<tr><td class="mono">{e(reason)}</td><td class="num">{count:,}</td>'
        f'<td class="dim">{e(meaning(reason))}</td></tr>'
        for reason, count in reasons.items()
    )
    return f"<h3>Quarantine by reason</h3><table>{rows}</table>"


def _symbol(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\u27e8U+{code:04X}\u27e9"
