"""Labels go from bytes onto any two tokenizers exactly, whatever the text; the released way loses some on it.

The reference looks at every byte: it never uses offsets, `Tokenized.bytes_T` or binary search. The normal suite takes a
few thousand strings, the target `make test-slow` one million.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from tests.bundles import small_tokenizer
from tests.corpora import sentence
from tokensieve.udfs.labels.labels import DocumentLabels, token_targets
from tokensieve.udfs.spans.carry import forgotten_tokens
from tokensieve.udfs.spans.intervals import Spans
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

BATCH = 5_000
# First and last code point of what strings are mixed from.
SCRIPTS = (
    *[("a", "z"), ("A", "Z")] * 3,
    *[(" ", " ")] * 3,
    ("\t", "\r"),
    ("!", "@"),
    ("\x00", "\x1f"),
    ("\x7f", "\xff"),  # bytes of a broken encoding, as they look when they are read as Latin-1
    ("\ufffd", "\ufffd"),
    ("\u0300", "\u036f"),  # combining marks
    ("Ā", "ſ"),
    ("Ͱ", "ӿ"),
    ("\u0590", "\u06ff"),  # right to left
    ("\u0900", "\u097f"),
    ("\u200b", "\u200f"),  # zero width
    ("\ufe00", "\ufe0f"),  # variation selectors
    ("一", "鿿"),
    ("가", "힣"),
    ("\ue000", "\uf8ff"),
    ("🌀", "🫿"),
    ("🏻", "🏿"),
    ("\U00100000", "\U0010ffff"),
)


def random_texts(rng: np.random.Generator, count: int) -> list[str]:
    """Strings of 0 to 24 characters, in stretches of one script."""
    lengths_D = rng.integers(0, 25, count)
    total = int(lengths_D.sum())
    low_S, high_S = (np.array([ord(script[end]) for script in SCRIPTS]) for end in (0, 1))
    stretch_C = np.cumsum(rng.random(total) < 0.3)
    script_C = rng.integers(0, len(SCRIPTS), total + 1)[stretch_C]
    code_C = low_S[script_C] + (rng.random(total) * (high_S - low_S + 1)[script_C]).astype(np.int64)
    whole = code_C.astype("<u4").tobytes().decode("utf-32-le")
    ends_D = np.cumsum(lengths_D).tolist()
    return [whole[start:end] for start, end in zip([0, *ends_D], ends_D)]


@dataclass(frozen=True, kw_only=True)
class Spelled:
    """A tokenizer, the bytes that each of its ids spells, and whether its tokens stand for whole characters.

    Byte fallback splits a character into tokens of which each has the offsets of that whole character.
    """

    tokenizer: ByteTokenizer
    bytes_V: list[bytes]
    whole_characters: bool

    def sizes(self, tokens: Tokenized, texts: list[str]) -> np.ndarray:
        """Bytes that every token spells, int64 [T]; checks that the tokens spell the texts."""
        spelled = [self.bytes_V[at] for at in tokens.ids_T.tolist()]
        assert b"".join(spelled) == "".join(texts).encode()
        return np.array([len(one) for one in spelled], dtype=np.int64)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory) -> Spelled:
    """Tokens end anywhere, also inside a character."""
    rng = np.random.default_rng(1)
    texts = [sentence(at) for at in range(40)] + random_texts(rng, 400)
    tokenizer = ByteTokenizer.load(small_tokenizer(tmp_path_factory.mktemp("a") / "tokenizer.json", texts, 1_500))
    byte_of = _byte_alphabet()
    return _spelled(tokenizer, lambda literal: bytes(byte_of[c] for c in literal), whole_characters=False)


@pytest.fixture(scope="module")
def gemma_like(tmp_path_factory) -> Spelled:
    """A space is written as U+2581; characters that training never saw fall apart into byte tokens."""
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    model = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    model.normalizer = normalizers.Replace(" ", "▁")
    model.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", *bytes_]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, max_token_length=9, show_progress=False)
    model.train_from_iterator([*(sentence(at) for at in range(40)), "это щи да каша 日本 naïve"] * 3, trainer)
    path = tmp_path_factory.mktemp("b") / "tokenizer.json"
    model.save(str(path))
    fallback = {literal: bytes([at]) for at, literal in enumerate(bytes_)}
    return _spelled(
        ByteTokenizer.load(path),
        lambda literal: fallback.get(literal) or literal.replace("▁", " ").encode(),
        whole_characters=True,
    )


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others for 256 and on."""
    itself = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in itself]
    return {chr(b): b for b in itself} | {chr(256 + at): b for at, b in enumerate(others)}


def _spelled(tokenizer: ByteTokenizer, spell, whole_characters: bool) -> Spelled:
    vocab = Tokenizer.from_file(str(tokenizer.path)).get_vocab()
    bytes_V = [b""] * tokenizer.vocab_size
    for literal, at in vocab.items():
        bytes_V[at] = spell(literal)
    return Spelled(tokenizer=tokenizer, bytes_V=bytes_V, whole_characters=whole_characters)


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """The truth about every byte of a batch: its document's bounds, its label in eighths (0: none), whether unknown."""

    bounds_D1: np.ndarray
    eighths_B: np.ndarray
    hole_B: np.ndarray

    def labels(self) -> list[DocumentLabels]:
        """The same as spans."""
        spans_N2 = _runs(self.eighths_B, self.bounds_D1)
        values_N = (self.eighths_B[spans_N2[:, 0]] / 8).astype(np.float32)
        holes_M2 = _runs(self.hole_B.astype(np.int64), self.bounds_D1)
        at_D1, hole_at_D1 = (np.searchsorted(part[:, 0], self.bounds_D1) for part in (spans_N2, holes_M2))
        return [
            DocumentLabels(
                spans_N2=spans_N2[at_D1[d] : at_D1[d + 1]] - base,
                value_N=values_N[at_D1[d] : at_D1[d + 1]],
                unknown_M2=holes_M2[hole_at_D1[d] : hole_at_D1[d + 1]] - base,
            )
            for d, base in enumerate(self.bounds_D1[:-1].tolist())
        ]

    def targets(self, sizes_T: np.ndarray, characters_C: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Values and known of tokens that spell so many bytes; `characters_C`: where characters start, to widen to."""
        eighths_B, on_B, hole_B = self.eighths_B, (self.eighths_B > 0).astype(np.int64), self.hole_B.astype(np.int64)
        if characters_C is not None:
            width_C = np.diff(np.append(characters_C, len(eighths_B)))
            eighths_B, on_B, hole_B = (
                np.repeat(np.maximum.reduceat(each, characters_C), width_C) for each in (eighths_B, on_B, hole_B)
            )
        start_T = np.cumsum(sizes_T) - sizes_T
        eighths_T, on_T, hole_T = (np.maximum.reduceat(each, start_T) for each in (eighths_B, on_B, hole_B))
        return (eighths_T / 8).astype(np.float32), (on_T > 0) | (hole_T == 0)


def _runs(level_B: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """Runs of one level above 0 within a document: int64 [N, 2]."""
    edge_B = np.ones(len(level_B) + 1, dtype=bool)
    edge_B[1:-1] = level_B[1:] != level_B[:-1]
    edge_B[bounds_D1] = True
    edges = np.flatnonzero(edge_B)
    on = level_B[edges[:-1]] > 0
    return np.stack([edges[:-1][on], edges[1:][on]], axis=1)


def random_labels(rng: np.random.Generator, sizes_T: np.ndarray, bounds_D1: np.ndarray) -> Bytes:
    """Labels that begin and end where tokens do (as an SAE's) in every other document, anywhere in the others."""
    total = int(bounds_D1[-1])
    on_tokens = np.repeat(rng.integers(0, 9, len(sizes_T)) * (rng.random(len(sizes_T)) < 0.3), sizes_T)
    stretch_B = np.cumsum(rng.random(total) < 0.15)
    anywhere = (rng.integers(0, 9, total + 1) * (rng.random(total + 1) < 0.3))[stretch_B]
    by_token_B = np.repeat(np.arange(len(bounds_D1) - 1) % 2 == 0, np.diff(bounds_D1))
    hole_B = (rng.random(total + 1) < 0.1)[np.cumsum(rng.random(total) < 0.1)]
    return Bytes(bounds_D1=bounds_D1, eighths_B=np.where(by_token_B, on_tokens, anywhere), hole_B=hole_B)


def check_batch(rng: np.random.Generator, count: int, source: Spelled, target: Spelled) -> tuple[int, int]:
    """Carries labels of so many strings; returns the numbers of tokens and of labelled ones."""
    texts = random_texts(rng, count)
    data = "".join(texts).encode()
    bounds_D1 = np.concatenate([[0], np.cumsum([len(text.encode()) for text in texts])])
    # A byte that does not continue a character starts one.
    characters_C = np.flatnonzero(np.frombuffer(data, np.uint8) & 0xC0 != 0x80)
    encoded = [(side, side.tokenizer.encode(texts)) for side in (source, target)]
    truth = random_labels(rng, source.sizes(encoded[0][1], texts), bounds_D1)
    labels, seen, labelled = truth.labels(), 0, 0
    flat = _runs(truth.eighths_B, bounds_D1)
    for side, tokens in encoded:
        assert tokens.failed == {}
        value_T, known_T = token_targets(labels, tokens)
        expected_T, expected_known_T = truth.targets(
            side.sizes(tokens, texts), characters_C if side.whole_characters else None
        )
        np.testing.assert_array_equal(value_T, expected_T)
        np.testing.assert_array_equal(known_T, expected_known_T)
        forgotten_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, Spans(start_N=flat[:, 0], end_N=flat[:, 1]))
        np.testing.assert_array_equal(forgotten_T, expected_T > 0)
        seen, labelled = seen + len(value_T), labelled + int((value_T > 0).sum())
    return seen, labelled


def test_labels_of_thousands_of_random_strings_reach_two_tokenizers_exactly(byte_level, gemma_like):
    seen, labelled = check_batch(np.random.default_rng(7), 3_000, byte_level, gemma_like)
    again, _ = check_batch(np.random.default_rng(8), 3_000, gemma_like, byte_level)
    assert min(seen, again) > 100_000
    assert 0.2 < labelled / seen < 0.6


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_labels_of_a_million_random_strings_reach_two_tokenizers_exactly(byte_level, gemma_like):
    rng, strings, seen, labelled = np.random.default_rng(20_260), 0, 0, 0
    while strings < 1_000_000:
        sides = (byte_level, gemma_like) if strings // BATCH % 2 else (gemma_like, byte_level)
        tokens, on = check_batch(rng, BATCH, *sides)
        strings, seen, labelled = strings + BATCH, seen + tokens, labelled + on
    print(f"{strings:,} strings, {seen:,} tokens on two sides, {labelled:,} of them labelled, no difference")
    assert labelled > 1_000_000


# --- the released way ---


def find_tokens(tokenizer: ByteTokenizer, ids: list[int], text: str) -> list[tuple[int, int] | None]:
    """Character spans as the released code finds them: decode a token, search for it from where the last one ended."""
    spans, cursor = [], 0
    for one in ids:
        piece = tokenizer.decode([one])
        at = text.find(piece, cursor)
        spans.append(None if at < 0 else (at, at + len(piece)))
        cursor = cursor if at < 0 else at + len(piece)
    return spans


def released_targets(source: ByteTokenizer, target: ByteTokenizer, text: str, on: list[bool]) -> list[bool]:
    """Labels of the target's tokens from labels of the source's (arXiv 2601.21571's released retokenisation)."""
    ids = source.encode([text]).ids_T.tolist()
    marked = [span for span, flag in zip(find_tokens(source, ids, text), on, strict=True) if span and flag]
    found = find_tokens(target, target.encode([text]).ids_T.tolist(), text)
    return [bool(span and any(span[0] < end and start < span[1] for start, end in marked)) for span in found]


def ours(source: ByteTokenizer, target: ByteTokenizer, text: str, on: list[bool]) -> list[bool]:
    sizes_T = source.encode([text]).bytes_T
    flags_B = np.repeat(np.array(on, dtype=np.int64), sizes_T)
    labels = DocumentLabels(spans_N2=_runs(flags_B, np.array([0, len(flags_B)])))
    return (token_targets([labels], target.encode([text]))[0] > 0).tolist()


def test_decoding_token_by_token_loses_the_labels_of_split_characters(byte_level, gemma_like):
    source, target = byte_level.tokenizer, gemma_like.tokenizer
    text = "flu 🦠🧬 dose"
    on = [True] * len(source.encode([text]).ids_T)
    # Every byte is labelled, so every token must be; the released way never finds the pieces of the two emoji.
    assert all(ours(source, target, text, on))
    lost = [not flag for flag in released_targets(source, target, text, on)]
    assert sum(lost) >= 8


def test_on_the_same_random_text_the_released_way_loses_labels_and_ours_none(byte_level, gemma_like):
    rng, (lost, wrong, labelled) = np.random.default_rng(3), (0, 0, 0)
    source, target = byte_level, gemma_like
    for text in filter(None, random_texts(rng, 300)):
        tokens = source.tokenizer.encode([text])
        on = (rng.random(len(tokens.ids_T)) < 0.3).tolist()
        flags_B = np.repeat(np.array(on, dtype=np.int64), source.sizes(tokens, [text]))
        truth = Bytes(bounds_D1=np.array([0, len(flags_B)]), eighths_B=flags_B * 8, hole_B=flags_B < 0)
        starts_C = np.flatnonzero(np.frombuffer(text.encode(), np.uint8) & 0xC0 != 0x80)
        expected = truth.targets(target.sizes(target.tokenizer.encode([text]), [text]), starts_C)[0] > 0
        assert ours(source.tokenizer, target.tokenizer, text, on) == expected.tolist()
        released = np.array(released_targets(source.tokenizer, target.tokenizer, text, on))
        lost, wrong = lost + int((expected & ~released).sum()), wrong + int((released & ~expected).sum())
        labelled += int(expected.sum())
    assert lost > 0.2 * labelled


def test_on_plain_english_both_ways_agree(byte_level, gemma_like):
    text, rng = sentence(3, 60), np.random.default_rng(5)
    on = (rng.random(len(byte_level.tokenizer.encode([text]).ids_T)) < 0.3).tolist()
    pair = byte_level.tokenizer, gemma_like.tokenizer
    assert released_targets(*pair, text, on) == ours(*pair, text, on)
