"""Which tokens a head is fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bundles import small_tokenizer
from tests.planted import coarse, planted
from tokensieve.pretrain.classifier.draw_tokens import DrawConfig, draw_tokens, lowest_of_each_class
from tokensieve.udfs.labels.labels import DocumentLabels
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@pytest.fixture(scope="module")
def documents():
    return planted(30, words=120)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, documents) -> ByteTokenizer:
    return ByteTokenizer.load(small_tokenizer(tmp_path_factory.mktemp("draw") / "tokenizer.json", documents.texts))


def _places(documents, drawn) -> set[tuple[str, int, float]]:
    ids = [documents.ids[d] for d in drawn.document_N]
    return set(zip(ids, drawn.position_N.tolist(), drawn.value_N.tolist(), strict=True))


def test_both_classes_are_drawn_equally_often(documents, tokenizer):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(), seed=0)
    assert (drawn.value_N >= 0.5).mean() == 0.5
    assert len(drawn) > 100


def test_no_window_gives_more_than_its_share(documents, tokenizer):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(window=50, per_window=7), seed=0)
    windows = np.stack([drawn.document_N, drawn.position_N // 50], axis=1)
    counts = np.unique(windows, axis=0, return_counts=True)[1]
    assert counts.max() <= 7
    everything = draw_tokens(documents, tokenizer, DrawConfig(window=50, per_window=50), seed=0)
    assert len(everything) > len(drawn)


def test_the_order_of_documents_does_not_change_the_draw(documents, tokenizer):
    turned = documents.where(np.ones(30, dtype=bool))
    backwards = replace(
        turned,
        **{name: getattr(turned, name)[::-1] for name in ("ids", "texts", "domains", "sources", "licenses", "labels")},
        positive_D=turned.positive_D[::-1],
    )
    config = DrawConfig(window=50, per_window=7)
    one = draw_tokens(documents, tokenizer, config, seed=3)
    assert _places(documents, one) == _places(backwards, draw_tokens(backwards, tokenizer, config, seed=3))
    assert _places(documents, one) != _places(documents, draw_tokens(documents, tokenizer, config, seed=4))


def test_a_limit_keeps_the_balance(documents, tokenizer):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(tokens=41), seed=0)
    assert ((drawn.value_N >= 0.5).sum(), (drawn.value_N < 0.5).sum()) == (20, 20)
    assert (np.diff(drawn.document_N) >= 0).all()


def test_unknown_tokens_are_never_drawn(documents, tokenizer):
    whole = [len(text.encode()) for text in documents.texts]
    labels = []
    for one, size in zip(documents.labels, whole, strict=True):
        later_N2 = one.spans_N2[one.spans_N2[:, 0] >= size // 2]
        labels.append(replace(one, spans_N2=later_N2, unknown_M2=np.array([[0, size // 2]])))
    drawn = draw_tokens(replace(documents, labels=labels), tokenizer, DrawConfig(), seed=0)
    ends = [np.cumsum(tokenizer.encode([text]).bytes_T) for text in documents.texts]
    last_byte = np.array([ends[d][p] for d, p in zip(drawn.document_N, drawn.position_N, strict=True)])
    assert (last_byte > np.array(whole)[drawn.document_N] // 2).all()


def test_what_stands_in_an_unknown_stretch_changes_nothing(documents, tokenizer):
    """Bytes of an unknown stretch may be anything: the draw sees neither their labels nor their absence."""
    hidden = [DocumentLabels(unknown_M2=np.array([[0, len(text.encode())]])) for text in documents.texts]
    some = [hidden[at] if at < 12 else one for at, one in enumerate(documents.labels)]
    with_hidden = draw_tokens(replace(documents, labels=some), tokenizer, DrawConfig(), seed=0)
    without = draw_tokens(documents.where(np.arange(30) >= 12), tokenizer, DrawConfig(), seed=0)
    assert with_hidden.document_N.min() >= 12
    assert (with_hidden.document_N - 12).tolist() == without.document_N.tolist()
    assert with_hidden.position_N.tolist() == without.position_N.tolist()


def test_tokens_of_one_class_are_refused(documents, tokenizer):
    with pytest.raises(ValueError, match=r"0 of .* known tokens are forbidden"):
        draw_tokens(documents.where(~documents.positive_D), tokenizer, DrawConfig(), seed=0)


def test_the_documents_of_each_class_are_those_with_the_lowest_hashes(documents):
    some = lowest_of_each_class(coarse(documents), 4)
    assert some.positive_D.sum() == 4
    assert len(some) == 8
    wider = lowest_of_each_class(coarse(documents), 5)
    assert set(some.ids) < set(wider.ids)
    assert len(lowest_of_each_class(documents, None)) == 30
