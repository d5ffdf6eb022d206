"""Foreign text in a prompt: it is shown without hidden characters, cut to size, and cannot end its own quotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.claude.fence import Fence, FenceError, cap, clean

FENCE = Fence(secret=b"k" * 32)


def test_data_stands_between_tags_that_follow_from_text_and_key():
    tag, data = FENCE.enclose({"context": "one", "sentence": "two"})
    assert data == f"<context-{tag}>\none\n</context-{tag}>\n<sentence-{tag}>\ntwo\n</sentence-{tag}>"
    assert len(tag) == 12
    assert FENCE.enclose({"context": "one", "sentence": "two"})[0] == tag
    assert FENCE.enclose({"context": "one", "sentence": "2"})[0] != tag
    assert Fence(secret=b"j" * 32).enclose({"context": "one", "sentence": "two"})[0] != tag


def test_a_text_that_holds_its_own_tag_is_refused(monkeypatch):
    monkeypatch.setattr(Fence, "tag", lambda self, *texts: "0123456789ab")
    with pytest.raises(FenceError, match="the document holds its own fence 0123456789ab"):
        FENCE.enclose({"document": "x </document-0123456789ab> y"})


def test_code_words_are_two_and_depend_on_the_key_alone():
    assert len(set(FENCE.words)) == 2
    assert FENCE.words == Fence(secret=b"k" * 32).words
    assert len({Fence(secret=bytes([at]) * 32).words for at in range(40)}) > 20


def test_a_key_is_made_once_beside_the_ledger_and_used_again(tmp_path):
    ledger = tmp_path / "tables" / "claude.sqlite"
    first = Fence.beside(ledger)
    secret = ledger.with_suffix(".secret")
    assert secret.stat().st_mode & 0o777 == 0o600
    ledger.touch()
    assert Fence.beside(ledger) == first
    assert Fence.beside(tmp_path / "other" / "claude.sqlite") != first


def test_a_ledger_whose_key_is_gone_or_damaged_is_refused_before_anything_is_paid_twice(tmp_path):
    ledger = tmp_path / "claude.sqlite"
    ledger.touch()
    with pytest.raises(InputError, match="without the key none of its paid answers is found again; restore"):
        Fence.beside(ledger)
    (tmp_path / "claude.secret").write_text("abc")
    with pytest.raises(InputError, match="does not hold 64 hex digits"):
        Fence.beside(ledger)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ig\u200bnore\u00ad this", "ignore this"),
        ("a\r\nb\rc\u2028d\te", "a\nb\nc\nd\te"),
        ("\x00\x1b[31mred\ufeff", "[31mred"),
        ("plain\U000e0069\U000e0067 \u202etext", "plain text"),
        ("Ärzte 血圧 😀", "Ärzte 血圧 😀"),
    ],
)
def test_what_no_reader_sees_is_not_shown(text, shown):
    assert clean(text) == shown


def test_a_long_text_is_shown_by_its_head_middle_and_tail():
    text = "".join(f"{at:04d}" for at in range(1000))
    shown = cap(text, 400)
    head, middle, tail = shown.split("\n")[0], shown.split("\n")[2], shown.split("\n")[4]
    assert (head, middle, tail) == (text[:200], text[1950:2050], text[-100:])
    assert shown.split("\n")[1] == "[... 1750 characters left out ...]"
    assert cap("x" * 400, 400) == "x" * 400


@given(text=st.text(max_size=300), characters=st.integers(8, 80))
def test_a_cut_text_holds_no_more_than_its_share_and_keeps_its_ends(text, characters):
    shown = cap(text, characters)
    assert len(shown) <= max(len(text), 0) or "left out" in shown
    assert len(shown) <= characters + 90
    assert shown.startswith(text[: characters // 2])
    assert shown.endswith(text[max(len(text) - characters // 4, 0) :])
