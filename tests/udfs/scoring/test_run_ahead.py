import threading
import time

import pytest

from tokensieve.udfs.scoring.run_ahead import ahead


def test_items_keep_their_order_and_are_made_in_another_thread():
    makers = set()

    def items():
        for n in range(20):
            makers.add(threading.current_thread())
            yield n

    assert list(ahead(items(), 3)) == list(range(20))
    assert threading.current_thread() not in makers
    assert len(makers) == 1


def test_it_runs_ahead_by_no_more_than_its_depth():
    made = []

    def items():
        for n in range(10):
            made.append(n)
            yield n

    running = ahead(items(), 2)
    assert next(running) == 0
    deadline = time.monotonic() + 10
    while made != [0, 1, 2] and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2]
    assert list(running) == list(range(1, 10))


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield "good"
        raise ValueError("row 7 is broken")

    running = ahead(items(), 4)
    assert next(running) == "good"
    with pytest.raises(ValueError, match="row 7 is broken"):
        next(running)


def test_closing_stops_the_items_and_leaves_no_thread():
    closed = []

    def items():
        try:
            yield from range(1_000_000)
        finally:
            closed.append(True)

    before = threading.active_count()
    running = ahead(ahead(items(), 2), 2)
    assert next(running) == 0
    running.close()
    assert closed == [True]
    assert threading.active_count() == before
