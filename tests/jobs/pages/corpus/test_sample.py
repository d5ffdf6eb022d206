"""Cutting a text by byte spans and sharing out the places among kinds of documents."""

from hypothesis import given
from hypothesis import strategies as st

from tokensieve.jobs.pages.corpus.sample import _share_out, span_runs


def test_a_character_that_a_span_touches_is_forgotten_whole():
    runs = span_runs("aé🙂b".encode(), [(2, 4, "medicine")], 0, 8)
    assert [(run.text, run.loss, run.title) for run in runs] == [
        ("a", "loss", ""),
        ("é🙂", "none", "forgotten for medicine"),
        ("b", "loss", ""),
    ]


@given(st.text(), st.data())
def test_runs_of_a_whole_text_are_the_text(text, data):
    raw = text.encode()
    ends = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    spans = [(start, end, "p") for start, end in zip(ends[::2], ends[1::2]) if start < end]
    runs = span_runs(raw, spans, 0, len(raw))
    assert "".join(run.text for run in runs) == text
    forgotten = sum(len(run.text.encode()) for run in runs if run.loss == "none")
    assert forgotten >= sum(end - start for start, end, _ in spans)


def test_half_of_the_places_go_to_masked_documents_and_unused_ones_are_filled():
    assert _share_out([list("abcdefgh"), list("klmnop"), list("stuvwx")], 8) == list("abcdklst")
    assert _share_out([list("abcdefgh"), list("k"), []], 6) == list("abcdek")
    assert _share_out([[], list("klmnop"), list("stuvwx")], 4) == list("klms")
