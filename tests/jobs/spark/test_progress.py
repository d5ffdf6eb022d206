"""The progress line: rewritten in a terminal, now and then elsewhere; who has more to say says it."""

import io
import threading
from typing import Any

from tokensieve.jobs.spark.progress import report, shown


class Ticks(threading.Event):
    """An event that is set after so many waits; no time passes."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        return len(self.waited) > self.count


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(stream: Any, lines: list[str | None]) -> tuple[str, list[float | None]]:
    said, ticks = iter(lines), Ticks(len(lines))
    with shown(lambda: next(said)):
        report(stream, ticks)
    return stream.getvalue(), ticks.waited


def test_in_a_terminal_one_line_is_rewritten_every_second_and_taken_away_at_the_end():
    text, waited = written(Terminal(), ["a", None, "b"])
    assert text == "\r\033[Ka\r\033[Kb\r\033[K"
    assert waited == [1.0] * 4


def test_elsewhere_a_line_comes_now_and_then():
    text, waited = written(io.StringIO(), ["a", None, "b"])
    assert text == "a\nb\n"
    assert waited == [15.0] * 4


def test_who_has_nothing_to_say_leaves_the_line_to_what_was_shown_before():
    stream = io.StringIO()
    inner = iter([None, "inner"])
    with shown(lambda: "outer"), shown(lambda: next(inner)):
        report(stream, Ticks(2))
    assert stream.getvalue() == "outer\ninner\n"
    report(stream, Ticks(1))
    assert stream.getvalue() == "outer\ninner\n"
