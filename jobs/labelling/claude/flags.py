"""Finds texts that talk to whoever labels them. A flag is a hint for review: it goes into notes and counts, never into
a label, since texts about classifiers are not hostile and hostile texts need not match."""

import re
import unicodedata

from jobs.labelling.claude.fence import clean

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


def flags(text: str) -> tuple[str, ...]:
    """Names of what makes the text look as if it addressed its labeller, in alphabetical order."""
    plain = unicodedata.normalize("NFKC", clean(text)).lower()
    found = [name for name, pattern in _COMPILED.items() if pattern.search(plain)]
    return tuple(sorted([*found, "hidden characters"] if _SMUGGLED.search(text) else found))
