import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles import small_tokenizer
from tokensieve.udfs.deciding.decide_rows import SPAN_TYPE
from tokensieve.udfs.deciding.pretrain_tokens import pretrain_tokens
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

EOD, HIDDEN = 0, 1


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = ["the patient took aspirin for a headache", "a plain sentence about the weather"] * 3
    path = tmp_path_factory.mktemp("tok") / "tokenizer.json"
    return ByteTokenizer.load(small_tokenizer(path, texts, 330, special=("<|endoftext|>", "<|hidden|>")))


def batch(*documents: tuple[str, list[tuple[int, int, str]]]) -> pa.RecordBatch:
    spans = [[{"start": a, "end": b, "policy": p} for a, b, p in spans] for _, spans in documents]
    return pa.RecordBatch.from_pydict(
        {
            "doc_id": pa.array([str(at) for at in range(len(documents))]),
            "text": pa.array([text for text, _ in documents]),
            "forget_spans": pa.array(spans, pa.list_(SPAN_TYPE)),
        }
    )


def test_masked_tokens_lose_their_loss_and_nothing_else_and_eod_keeps_it(tokenizer):
    text = "the patient took aspirin for a headache"
    tokens = pretrain_tokens(tokenizer, batch((text, [(17, 24, "m")]), ("", [])), frozenset(), EOD, HIDDEN)
    plain = tokenizer.encode([text])
    assert tokens.ids_T.tolist() == [*plain.ids_T.tolist(), EOD, EOD]
    assert tokens.lengths_D.tolist() == [len(plain.ids_T) + 1, 1]
    lost = [tokenizer.decode([token]) for token, kept in zip(tokens.ids_T.tolist(), tokens.loss_mask_T) if not kept]
    assert "".join(lost).strip() == "aspirin"
    assert tokens.loss_mask_T[-2:].tolist() == [1, 1]


def test_hide_replaces_ids_one_for_one_only_for_the_policies_that_hide(tokenizer):
    text = "the patient took aspirin for a headache"
    spans = [(17, 24, "m"), (31, 39, "h")]
    mask = pretrain_tokens(tokenizer, batch((text, spans)), frozenset(), EOD, HIDDEN)
    hide = pretrain_tokens(tokenizer, batch((text, spans)), frozenset({"h"}), EOD, HIDDEN)
    assert mask.loss_mask_T.tolist() == hide.loss_mask_T.tolist()
    changed = mask.ids_T != hide.ids_T
    assert set(hide.ids_T[changed].tolist()) == {HIDDEN}
    assert tokenizer.decode(mask.ids_T[changed].tolist()).strip() == "headache"


def test_special_tokens_written_in_a_text_stay_text(tokenizer):
    tokens = pretrain_tokens(tokenizer, batch(("a <|endoftext|> b <|hidden|>", [])), frozenset(), EOD, HIDDEN)
    assert tokens.ids_T.tolist().count(EOD) == 1
    assert HIDDEN not in tokens.ids_T.tolist()


def test_a_span_that_leaves_its_text_is_refused_with_the_document(tokenizer):
    with pytest.raises(ValueError, match="document 1: a forget span leaves its text"):
        pretrain_tokens(tokenizer, batch(("abc", []), ("abc", [(1, 4, "m")])), frozenset(), EOD, HIDDEN)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.data())
def test_ids_never_depend_on_spans_and_a_token_is_forgotten_exactly_when_it_touches_one(tokenizer, texts, data):
    documents = []
    for text in texts:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text.encode())), max_size=6)))
        documents.append((text, [(a, b, "m") for a, b in zip(cuts[::2], cuts[1::2])]))
    tokens = pretrain_tokens(tokenizer, batch(*documents), frozenset(), EOD, HIDDEN)
    bare = pretrain_tokens(tokenizer, batch(*((text, []) for text, _ in documents)), frozenset(), EOD, HIDDEN)
    assert tokens.ids_T.tolist() == bare.ids_T.tolist()
    plain = tokenizer.encode(texts)
    at = 0
    for (_, spans), start, stop in zip(documents, plain.bounds_D1[:-1], plain.bounds_D1[1:]):
        ends = np.cumsum(plain.bytes_T[start:stop])
        touched = [
            any(a < end and end - length < b for a, b, _ in spans)
            for end, length in zip(ends, plain.bytes_T[start:stop])
        ]
        kept = tokens.loss_mask_T[at : at + stop - start].astype(bool)
        assert [not keep for keep in kept] == touched
        at += stop - start + 1
