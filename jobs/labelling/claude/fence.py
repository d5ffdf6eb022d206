"""Foreign text in a prompt: it can neither close its own quotation nor name its own label, and is flagged if it tries.

The tags around a text carry an HMAC of it, and the two words that mean "forget" and "keep" are drawn by the same key.
The key is random per ledger and lies beside it: a public one could be computed into a hostile page, a new one per run
would change every request and pay for all of them again. All of this lowers a rate; canaries measure what is left. A
flag marks a text that talks to whoever labels it. It is a hint for review that goes into notes and counts, never into a
label, since texts about classifiers are not hostile and hostile texts need not match.
"""

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from tokensieve.jobs.errors import InputError

# Control characters but tab and newline, soft hyphens, zero-width and direction marks, variation selectors, tag
# characters: nothing that a reader sees, everything that hides words from a reader.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
_WORDS = tuple("amber basil cedar cobalt coral ebony flint hazel indigo jasper maple olive onyx slate teal".split())  # noqa: SIM905
_PATTERNS = {
    "instructions": r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:previous|prior|above|earlier|preceding|"
    r"system)\b.{0,30}\b(?:instruction|prompt|rule|message|polic)|\b(?:new|updated) instructions?\s*:",
    "labeller": r"\b(?:dear|note (?:to|for)|attention|hello|message (?:to|for))\W{1,3}(?:the |any |all )?(?:ai\b|"
    r"llms?\b|language models?|chatbots?|claude|assistants?|classifiers?|labell?ers?|annotators?|moderators?|filters?)"
    r"|\b(?:if )?you are an? (?:ai|llm|language model|assistant|classifier)\b|\bas an? (?:ai|large) language model\b",
    "answer": r"\b(?:answer|respond|reply|classify|label)\s+(?:(?:it|this|only|just|simply|with|as|by)\s+)*[\"'`(]?"
    r"(?:true|false|yes|no|positive|negative|an empty list|\[\s*\]|\{)(?!\w)|[\"']forget[\"']\s*:",
    "self-label": r"\bthis (?:text|document|page|article|sentence|passage)\b.{0,30}\b(?:should|must|is|isn't|need)"
    r"\b.{0,20}\b(?:filtered|labell?ed|classified|flagged|masked)\b",
    "tag": r"</?\s*(?:document|context|sentences?|question|latents?|data|text)-[0-9a-f]{4,}",
    "chat markup": r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<</?sys>>|^\s*(?:system|assistant|human)\s*:|</?system>",
}
_COMPILED = {name: re.compile(pattern, re.MULTILINE | re.DOTALL) for name, pattern in _PATTERNS.items()}
# Tag characters and direction overrides have no honest use in running prose; joiners and soft hyphens have.
_SMUGGLED = re.compile("[\u202d\u202e\U000e0000-\U000e007f]")


class FenceError(Exception):
    """A text that holds the tag it would be fenced by: it is not asked about."""


@dataclass(frozen=True, kw_only=True)
class Fence:
    """What fences texts: `secret`, 32 random bytes."""

    secret: bytes

    @classmethod
    def beside(cls, ledger: Path) -> "Fence":
        """The fence of a ledger; the first use makes its key, `claude.secret` beside `claude.sqlite`.

        Raises InputError when the ledger is there and its key is not, or the key is damaged.
        """
        file = ledger.with_suffix(".secret")
        if not file.exists():
            if ledger.exists():
                raise InputError(
                    f"{file} is missing, but {ledger} is there: without the key none of its paid answers is found "
                    "again; restore the file from where the ledger came from, or move the ledger away to start anew"
                )
            _create(file)
        try:
            secret = bytes.fromhex(file.read_text().strip())
        except ValueError:
            secret = b""
        if len(secret) != 32:
            raise InputError(f"{file} does not hold 64 hex digits; restore it, or remove it together with {ledger}")
        return cls(secret=secret)

    def tag(self, *texts: str) -> str:
        """12 hex digits that nobody without the key can foretell from the texts."""
        return self._mac("\0".join(texts)).hex()[:12]

    @property
    def words(self) -> tuple[str, str]:
        """The code words for "falls under the policy" and "does not": fixed for a ledger, so that the schema is too."""
        drawn = self._mac("code words")
        first, second = drawn[0] % len(_WORDS), drawn[1] % (len(_WORDS) - 1)
        return _WORDS[first], _WORDS[second + (second >= first)]

    def enclose(self, blocks: dict[str, str]) -> tuple[str, str]:
        """(tag, data): each block of cleaned text between tags `name-TAG`, in order.

        Raises FenceError for a text that holds the tag.
        """
        tag = self.tag(*blocks.values())
        for name, text in blocks.items():
            if tag in text:
                raise FenceError(f"the {name} holds its own fence {tag}")
        return tag, "\n".join(f"<{name}-{tag}>\n{text}\n</{name}-{tag}>" for name, text in blocks.items())

    def _mac(self, text: str) -> bytes:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).digest()


def clean(text: str) -> str:
    """The text as a prompt shows it: without characters that nobody sees. Offsets are those of the original text."""
    return _HIDDEN.sub("", _LINE_ENDS.sub("\n", text)).strip()


def cap(text: str, characters: int) -> str:
    """At most about so many characters of a text: half from its head, a quarter each from its middle and its end."""
    if len(text) <= characters:
        return text
    head, part = characters // 2, characters // 4
    middle = max(head, (len(text) - part) // 2)
    end = max(middle + part, len(text) - part)
    gaps = middle - head, end - middle - part
    marks = [f"\n[... {gap} characters left out ...]\n" if gap else "" for gap in gaps]
    return f"{text[:head]}{marks[0]}{text[middle : middle + part]}{marks[1]}{text[end:]}"


def flags(text: str) -> tuple[str, ...]:
    """Names of what makes the text look as if it addressed its labeller, in alphabetical order."""
    plain = unicodedata.normalize("NFKC", clean(text)).lower()
    found = [name for name, pattern in _COMPILED.items() if pattern.search(plain)]
    return tuple(sorted([*found, "hidden characters"] if _SMUGGLED.search(text) else found))


def _create(file: Path) -> None:
    """Another process may do the same at the same time: only one of them makes the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as out:
        out.write(secrets.token_hex(32) + "\n")
