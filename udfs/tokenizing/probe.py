"""Is a fast back end the same tokenizer as its reference? Ids and byte lengths are compared, token by token.

Equal on the probe is not a proof for every text, so an export compares a sample of every shard as well.
"""

from collections.abc import Sequence

import numpy as np

from tokensieve.udfs.tokenizing.texts import Backend, Encoded, Texts

PROBE = (
    "",
    " ",
    "Hello world, this is plain text.",
    "a" * 3000,
    " " * 300 + "x" + "\n" * 300 + "\t" * 50,
    "trailing spaces   \nand\r\nlines\r\r\n\n\n  indented\n\t\ttabs",
    "no\u00a0break\u2003em\u3000ideographic\u0085\u2028\u2029",
    "I'm you're he'll we've they'd it's don't I'M YOU'RE HE'LL 'tis rock'n'roll ''s 's",
    "1 12 123 1234 12345 1234567890 3.14 1e-9 ٣٤٥ ²³¼ Ⅷ 一二三",
    'camelCaseHTTPServer snake_case __init__ x=y+z;//comment <tag/> {"k": [1,2]} \\n $@#%^&*()',
    "ÄÖÜ ß naïve café\u0301 z\u0301\u0489\u0301\u0489 ﬁ ı İ ǅ",
    "Привет мир. Γειά σου. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया. สวัสดี. 你好,世界。こんにちは。안녕하세요.",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 \U0001fae8 \U0010fffd \ue000 \ufffd \ufeff \u200b\u200d\u202e",
    "\x00\x01\x02\x7f\x80\x9f nul\x00inside",
    "tokens\u00adsoft\u2060join mixedТекст混合123abcабв",
    "https://example.org/a?b=c&d=%20#e user@example.org 2026-11-21T18:00:00Z",
)


def probe(specials: Sequence[str]) -> list[str]:
    """The probe's texts, with the special tokens' literals in places where a text may hold them."""
    alone = [literal for literal in specials if _is_text(literal)]
    return [*PROBE, "\n".join(PROBE), *alone, *(f"a {literal}b{literal} {literal}\n" for literal in alone)]


def difference(reference: Backend, other: Backend, texts: Texts) -> str | None:
    """The first place at which the two make other tokens, None where they agree on all of the texts."""
    expected, found = reference.encode(texts), other.encode(texts)
    if all(np.array_equal(getattr(expected, name), getattr(found, name)) for name in ("ids_T", "bytes_T", "bounds_D1")):
        return None
    for d in range(len(texts)):
        old, new = ([one.ids_T[part].tolist(), one.bytes_T[part].tolist()] for one, part in _parts(d, expected, found))
        if old != new:
            return f"text {d}, near {_near(texts, d, old, new)}"
    return None


def _parts(d: int, *both: Encoded) -> list[tuple[Encoded, slice]]:
    return [(one, slice(int(one.bounds_D1[d]), int(one.bounds_D1[d + 1]))) for one in both]


def _near(texts: Texts, d: int, old: list[list[int]], new: list[list[int]]) -> str:
    """Where two token lists (ids, lengths) of text d part, with some of the text and of both."""
    pairs = enumerate(zip(zip(*old), zip(*new)))
    at = next((at for at, (a, b) in pairs if a != b), min(len(old[0]), len(new[0])))
    start = int(texts.bounds_D1[d]) + sum(old[1][:at])
    around = bytes(texts.data_B[max(start - 20, int(texts.bounds_D1[d])) : start + 20]).decode("utf-8", "replace")
    return f"{around!r}: ids {new[0][at : at + 4]} instead of {old[0][at : at + 4]} from token {at} on"


def _is_text(literal: str) -> bool:
    return literal.isprintable() and bool(literal)
