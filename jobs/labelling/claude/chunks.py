"""Cuts documents into requests of numbered sentences, and turns the numbers that come back into label spans.

A whole document goes into one request where it fits: n sentences then cost about twice the document instead of n times.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from tokensieve.jobs.config.claude import SentencesConfig
from tokensieve.jobs.labelling.claude.answers import Check
from tokensieve.jobs.labelling.claude.fence import clean
from tokensieve.jobs.labelling.claude.request import Answer, Request
from tokensieve.udfs.labels.labels import DocumentLabels
from tokensieve.udfs.labels.sentences import sentence_spans, split

FORGET, KEEP, UNKNOWN = 1, 0, -1  # what is known of a sentence


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """A document's sentences: byte spans that tile it (int64 [S, 2]) and their texts."""

    text: str
    spans_S2: np.ndarray
    texts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Sentences":
        spans_S2 = sentence_spans(text)
        return cls(text=text, spans_S2=spans_S2, texts=tuple(split(text, spans_S2)))

    def labels(self, states_S: np.ndarray, note: str | None) -> DocumentLabels:
        """Label spans from what is known of each sentence (int8 [S]); neighbours of one state are one span."""
        return DocumentLabels(
            spans_N2=_runs(self.spans_S2, states_S == FORGET),
            unknown_M2=_runs(self.spans_S2, states_S == UNKNOWN),
            note=note,
        )


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Sentences of one document that go into one request.

    Attributes:
        at: places of its sentences in the document, ascending; number n in the request is `at[n - 1]`.
        context: the document's beginning, "" where the chunk begins there.
    """

    at: tuple[int, ...]
    context: str


def chunks(document: Sentences, settings: SentencesConfig) -> Iterator[Chunk]:
    """Chunks of a document, in order; sentences without anything that can be read are in none."""
    head = document.text[: settings.head_characters]
    at: list[int] = []
    size = 0
    first = True
    for place, text in enumerate(document.texts):
        if not clean(text):
            continue
        if at and (size + len(text) > settings.max_characters or len(at) == settings.max_sentences):
            yield Chunk(at=tuple(at), context="" if first else head)
            at, size, first = [], 0, False
        at.append(place)
        size += len(text)
    if at:
        yield Chunk(at=tuple(at), context="" if first else head)


def in_range(counts: Iterable[tuple[Request, int]]) -> Check:
    """The check of joint answers: every number is one of a sentence in its request. Other requests always pass."""
    sentences = {request.user: count for request, count in counts}

    def check(request: Request, value: JsonValue) -> str | None:
        count = sentences.get(request.user)
        outside = [] if count is None else [number for number in numbers(value) if not 1 <= number <= count]
        return f"sentence {outside[0]} of {count}" if outside else None

    return check


def numbers(value: JsonValue) -> list[int]:
    """The numbers of a joint answer that fits its schema, ascending, each once."""
    found = value.get("forget") if isinstance(value, dict) else None
    return sorted({one for one in found if isinstance(one, int)}) if isinstance(found, list) else []


def put(states_S: np.ndarray, chunk: Chunk, answer: Answer) -> None:
    """Writes what an answer says about a chunk's sentences into its document's states; nothing unless it is done."""
    if answer.state == "done":
        states_S[list(chunk.at)] = KEEP
        states_S[[chunk.at[number - 1] for number in numbers(answer.value)]] = FORGET


def pick(sentences: Sequence[str], name: str, most: int) -> list[int]:
    """Up to `most` places of sentences that can be read, those of the lowest hash, ascending."""
    import xxhash

    readable = [at for at, text in enumerate(sentences) if clean(text)]
    return sorted(sorted(readable, key=lambda at: xxhash.xxh3_64_intdigest(f"{name}/{at}".encode()))[:most])


def _runs(spans_S2: np.ndarray, chosen_S: np.ndarray) -> np.ndarray:
    """The chosen of spans that lie end to end, neighbours joined: int64 [N, 2]."""
    edges = np.diff(np.concatenate([[0], chosen_S.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return np.stack([spans_S2[starts, 0], spans_S2[stops - 1, 1]], axis=1).reshape(-1, 2)
