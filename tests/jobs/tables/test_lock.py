"""One holder at a time, and the lock of a dead one is free."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.tables.lock import Generation, Process, locked
from tokensieve.jobs.tables.open_store import open_store

ELSEWHERE = Process(host="another", pid=7, numbers="another boot", started="1")
HOLD = """
import sys, time
from tokensieve.jobs.tables.lock import locked
from tokensieve.jobs.tables.open_store import open_store
with locked(open_store(sys.argv[1]), 300, "refresh"):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys
from pathlib import Path
from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.tables.lock import locked
from tokensieve.jobs.tables.open_store import open_store
root, taken = sys.argv[1], 0
inside = Path(root) / "inside"
while taken < 20:
    try:
        with locked(open_store(root), 300, "refresh"):
            inside.open("x").close()
            inside.unlink()
            taken += 1
    except BusyError:
        pass
"""


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path))


def generations(root: Path) -> list[str]:
    return sorted(os.listdir(root / "_locks"))


def held_elsewhere(store, renewed: datetime) -> None:
    """Generation 4 of a process on another machine, with a lease of a minute."""
    generation = Generation(holder=ELSEWHERE, what="refresh", since=renewed, renewed=renewed, lease_s=60)
    store.write("_locks/000004.json", generation.model_dump_json().encode())


def wait_for(seen, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_released_lock_is_free_and_only_its_last_generation_stays(store, tmp_path):
    for _ in range(3):
        with locked(store, 300, "refresh"):
            pass
    assert generations(tmp_path) == ["000003.json"]


def test_a_second_holder_is_told_who_the_first_is_and_since_when(store):
    with (
        locked(store, 300, "refresh"),
        pytest.raises(BusyError, match=rf"`tokensieve refresh` runs there since 20.*process {os.getpid()} on "),
        locked(store, 300, "refresh"),
    ):
        pass


def test_the_lock_is_released_when_the_work_fails(store):
    with pytest.raises(RuntimeError), locked(store, 300, "refresh"):
        raise RuntimeError
    with locked(store, 300, "refresh"):
        pass


def test_the_lock_of_a_killed_process_of_this_machine_is_free_at_once(store, tmp_path, repository):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=f"process {process.pid} on "), locked(store, 300, "refresh"):
        pass
    process.kill()  # not waited for: it is a zombie, which holds nothing
    wait_for(lambda: Process.model_validate(process_of(tmp_path)).is_gone())
    with locked(store, 300, "refresh"):
        assert generations(tmp_path) == ["000002.json"]
    process.wait(30)


def process_of(root: Path) -> Process:
    return Generation.model_validate_json((root / "_locks" / generations(root)[-1]).read_bytes()).holder


def test_a_number_that_another_process_got_later_does_not_hold_the_lock(store):
    reused = Process.this().model_copy(update={"started": "1"})
    now = datetime.now(UTC)
    generation = Generation(holder=reused, what="refresh", since=now, renewed=now, lease_s=300)
    store.write("_locks/000001.json", generation.model_dump_json().encode())
    with locked(store, 300, "refresh"):
        pass


def test_a_holder_on_another_machine_keeps_the_lock_until_its_lease_is_over(store):
    held_elsewhere(store, datetime.now(UTC) - timedelta(seconds=50))
    with pytest.raises(BusyError, match="process 7 on another"), locked(store, 300, "refresh"):
        pass
    held_elsewhere(store, datetime.now(UTC) - timedelta(seconds=61))
    with locked(store, 300, "refresh"):
        pass


def test_a_lease_is_renewed_while_the_work_goes_on(store, tmp_path):
    with locked(store, 1, "refresh"):
        first = Generation.model_validate_json(store.read("_locks/000001.json"))
        wait_for(
            lambda: Generation.model_validate_json(store.read("_locks/000001.json")).renewed > first.renewed, seconds=10
        )


def test_a_holder_that_was_overtaken_notices_and_does_not_take_the_lock_back(store, tmp_path):
    with locked(store, 1, "refresh") as lock:
        lock.check()
        newer = Generation.model_validate_json(store.read("_locks/000001.json")).model_copy(update={"what": "other"})
        store.create("_locks/000002.json", newer.model_dump_json().encode())
        with pytest.raises(BusyError, match="took the lock over"):
            lock.check()
        time.sleep(0.6)  # two renewals
    assert Generation.model_validate_json(store.read("_locks/000002.json")) == newer, "not ours to release"


def test_a_generation_cut_short_does_not_block_the_next_one(store):
    store.write("_locks/000002.json", b'{"holder"')
    with locked(store, 300, "refresh"):
        pass


def test_of_processes_that_want_the_lock_all_the_time_never_two_have_it(tmp_path, repository):
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    racing = [subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.wait(120), process.communicate()[1]) for process in racing] == [(0, "")] * 3
    assert generations(tmp_path) == ["000060.json"]
