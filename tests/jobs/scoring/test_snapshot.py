"""What a run's progress says of literal heartbeats, by a clock that the test holds."""

import json

import pytest

from tokensieve.jobs.scoring.snapshot import Pace, device_figures
from tokensieve.jobs.source.listing import Work
from tokensieve.jobs.spark.progress import duration, size
from tokensieve.udfs.scoring.heartbeat import Heartbeat
from tokensieve.udfs.scoring.meter import Reading

DONE = Reading(
    documents=30, quarantined=1, text_bytes=1000, tokens=250, read=300, settled=300, computed=310,
    busy_s=2.0, wall_s=4.0, token_budget=2048,
)  # fmt: skip
WORK = Work(documents=100, text_bytes=4000)


def beat(task: int, reading: Reading, *, done=False, device="host cpu 1", began=100.0, at=105.0) -> Heartbeat:
    return Heartbeat(task=task, done=done, device=device, began=began, at=at, reading=reading)


def running(read: int) -> Reading:
    return Reading(
        documents=10, text_bytes=500, tokens=150, read=read, settled=100, computed=read + 2,
        busy_s=1.5, wall_s=3.0, token_budget=1024, out_of_memory=1,
    )  # fmt: skip


def test_what_is_under_way_counts_by_its_tokens_and_the_share_by_bytes_of_text():
    beats = [beat(0, DONE, done=True), beat(1, running(200), device="host cpu 2")]
    seen = Pace(WORK, began=4.0).snapshot(beats, 10.0, "score: read and score")
    assert (seen.seconds, seen.tasks_begun, seen.tasks_done, seen.devices) == (6.0, 2, 1, 1)
    assert (seen.documents, seen.quarantined, seen.text_bytes) == (50, 1, 1875)  # 500 tokens of 400 that are out
    assert seen.share == pytest.approx(0.4688)
    assert (seen.idle_share, seen.padding) == (0.5, 0.0234)
    assert (seen.tokens_per_s, seen.eta_s) == (None, None)


def test_pace_and_remaining_time_follow_the_last_minute():
    pace = Pace(WORK, began=0.0)
    for now in (1.0, 9.0):  # Spark starts; that is no part of the pace
        assert pace.snapshot([], now, None).eta_s is None
    pace.snapshot([beat(0, DONE, done=True), beat(1, running(200))], 10.0, None)
    seen = pace.snapshot([beat(0, DONE, done=True), beat(1, running(300), at=115.0)], 20.0, "score: read and score")
    assert seen.tokens_per_s == 10.0  # from 500 to 600 tokens in 10 s of one device
    assert seen.eta_s == 46.7  # 0.4375 of the work at 0.09375 in 10 s
    assert seen.line() == (
        "score: read and score: 56.2% of 100 documents, ETA 47 s, 60 scored, 1 quarantined, "
        "1 device at 10 tokens/s each, idle 50%, padding 2.0%"
    )
    assert json.loads(seen.json())["work"] == {"documents": 100, "text_bytes": 4000}
    for now in (60.0, 100.0):
        seen = pace.snapshot([beat(0, DONE, done=True), beat(1, running(300), at=115.0)], now, None)
    assert (seen.tokens_per_s, seen.eta_s) == (None, None), "nothing has come for more than a minute"


def test_without_known_bytes_the_share_is_of_documents():
    seen = Pace(Work(documents=40, text_bytes=None), 0.0).snapshot([beat(0, DONE, done=True)], 1.0, None)
    assert seen.share == 0.775


def test_the_end_is_when_all_rows_are_out_whatever_the_listing_said_of_their_bytes():
    many = Pace(Work(documents=31, text_bytes=9999), 0.0).snapshot([beat(0, DONE, done=True)], 1.0, None)
    few = Pace(Work(documents=32, text_bytes=10), 0.0).snapshot([beat(0, DONE, done=True)], 1.0, None)
    assert (many.share, few.share) == (1.0, 0.999)
    assert Pace(Work(documents=0, text_bytes=0), 0.0).snapshot([], 1.0, None).share == 1.0


def test_a_task_that_says_nothing_for_long_does_not_count_as_a_device():
    silent = beat(0, running(200), device="host cpu 1", at=100.0)
    alive = beat(1, running(200), device="host cpu 2", at=111.0)
    assert Pace(WORK, 0.0).snapshot([silent, alive], 1.0, None).devices == 1


def test_figures_of_the_devices_are_by_the_time_in_which_each_had_a_task():
    beats = [
        beat(0, DONE, device="a cuda:0", began=0.0, at=10.0),
        beat(1, running(200), device="a cuda:0", began=5.0, at=20.0),
        beat(2, running(200), device="b cuda:0", began=0.0, at=5.0),
        beat(3, running(200), device="b cuda:0", began=10.0, at=15.0),
    ]
    assert device_figures(beats) == {
        "devices": 2,
        "device_s": 30.0,
        "tokens_per_s": 23.3,  # 700 tokens in these seconds: 20 + 5 + 5
        "idle_share": 0.5,
        "padding": 0.0175,  # 900 of 916 rows
        "token_budget": 1024,
        "out_of_memory": 3,
    }


def test_durations_and_sizes_are_short():
    assert [duration(s) for s in (None, 9.4, 192, 7500)] == ["unknown", "9 s", "3 min 12 s", "2 h 05 min"]
    assert [size(n) for n in (999, 1_500, 2e15)] == ["999 bytes", "1.5 kB", "2,000.0 TB"]
