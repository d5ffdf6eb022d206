"""No control and no direction mark of a document reaches a page or a terminal; everything else stays as it is."""

import unicodedata

import pytest

from tokensieve.jobs.pages.html import one_line, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\0\x1b[31m\x7f", "␀␛[31m␡"),
        ("a\u202eb\u2066c\ufeff", "a⟨U+202E⟩b⟨U+2066⟩c⟨U+FEFF⟩"),
        ("tab\tand\nnewline\r", "tab\tand\nnewline␍"),
        ("👩‍⚕️ é שלום می‌خواهم", "👩‍⚕️ é שלום می‌خواهم"),
    ],
)
def test_only_what_shows_nothing_of_its_own_is_replaced(text, expected):
    assert visible(text) == expected


def test_no_control_and_no_bidirectional_control_is_left():
    marks = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    everything = "".join(chr(code) for code in range(0x3000))
    left = set(visible(everything)) - {"\n", "\t"}
    assert [hex(ord(c)) for c in left if unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) in marks] == []


def test_one_line_is_cut_and_has_no_newline():
    assert one_line("one\ntwo\tthree", 9) == "one␊two␉…"
    assert one_line("short") == "short"
