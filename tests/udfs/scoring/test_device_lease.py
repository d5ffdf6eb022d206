"""The lease of a device among real processes: handed over when idle, kept when busy, freed by the kernel."""

import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokensieve.udfs.scoring.device_lease import DeviceLease, lease_folder

SECONDS = 60  # more than any step takes on a busy machine
WORKER = """
import sys
from pathlib import Path
from tokensieve.udfs.scoring import device_lease
device_lease.LINGER_SECONDS = float(sys.argv[2])
device_lease.WARN_AFTER_SECONDS = 0.5
lease = device_lease.DeviceLease(lambda: print("dropped", flush=True), Path(sys.argv[1]))
task = None
for line in sys.stdin:
    if line == "end\\n":
        task.__exit__(None, None, None)
    else:
        device, copies = line.split()
        task = lease.task(device, int(copies))
        task.__enter__()
    print("ended" if line == "end\\n" else "began", flush=True)
"""


class Worker:
    """A process that begins and ends tasks when told, and says what happens to it, one line each."""

    def __init__(self, folder: Path, linger: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(linger)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(line.strip())

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        print(command, file=self.process.stdin, flush=True)

    def next_line(self) -> str:
        return self.said.get(timeout=SECONDS)


@pytest.fixture
def worker(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Callable[..., Worker]]":
    monkeypatch.setenv("PYTHONPATH", str(repository))
    started: list[Worker] = []

    def start(linger: float = 0.2) -> Worker:
        started.append(Worker(tmp_path, linger))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(SECONDS)


def journal(folder: Path, place: str) -> list[tuple[int, str]]:
    lines = (folder / f"{place}.lease").read_text().splitlines()
    return [(int(pid), event) for _, pid, event in map(str.split, lines)]


def test_an_idle_holder_drops_its_model_when_another_worker_asks(worker, tmp_path):
    first, second = worker(), worker()
    for command, answer in (("gpu-0 1", "began"), ("end", "ended"), ("gpu-0 1", "began"), ("end", "ended")):
        first.tell(command)
        assert first.next_line() == answer
    second.tell("gpu-0 1")
    assert first.next_line() == "dropped"
    assert second.next_line() == "began"
    one, two = first.process.pid, second.process.pid
    assert journal(tmp_path, "gpu-0.0") == [(one, "taken"), (one, "dropped"), (two, "taken")]


def test_a_holder_in_a_task_keeps_its_model_and_the_asker_says_whom_it_waits_for(worker, tmp_path):
    first, second = worker(), worker()
    first.tell("gpu-0 1")
    assert first.next_line() == "began"
    second.tell("gpu-0 1")
    said = second.next_line()
    assert said.startswith("waited ")
    assert said.endswith(f"for gpu-0, which pid {first.process.pid} holds")
    assert first.said.empty()
    first.tell("end")
    assert [first.next_line(), first.next_line()] == ["ended", "dropped"]
    assert second.next_line() == "began"


def test_a_holder_whose_next_task_comes_soon_keeps_its_model(worker, tmp_path):
    first, second = worker(linger=SECONDS), worker()
    first.tell("gpu-0 1")
    first.tell("end")
    assert [first.next_line(), first.next_line()] == ["began", "ended"]
    second.tell("gpu-0 1")
    assert second.next_line().startswith("waited ")
    first.tell("gpu-0 1")
    assert first.next_line() == "began"
    assert journal(tmp_path, "gpu-0.0") == [(first.process.pid, "taken")]


def test_what_a_killed_holder_held_is_free(worker, tmp_path):
    first, second = worker(), worker()
    first.tell("gpu-0 1")
    assert first.next_line() == "began"
    second.tell("gpu-0 1")
    assert second.next_line().startswith("waited ")
    first.process.kill()
    assert second.next_line() == "began"


def test_a_killed_asker_takes_nothing(worker, tmp_path):
    first, second = worker(linger=1.5), worker()
    first.tell("gpu-0 1")
    assert first.next_line() == "began"
    second.tell("gpu-0 1")
    assert second.next_line().startswith("waited ")
    second.process.kill()
    second.process.wait(SECONDS)
    first.tell("end")
    assert first.next_line() == "ended"
    with pytest.raises(queue.Empty):
        first.said.get(timeout=2.5)


def test_two_copies_are_two_places_and_a_third_worker_gets_the_idle_one(worker, tmp_path):
    first, second, third = worker(), worker(), worker()
    for one in (first, second):
        one.tell("gpu-0 2")
        assert one.next_line() == "began"
    third.tell("gpu-0 2")
    assert third.next_line().startswith("waited ")
    second.tell("end")
    assert [second.next_line(), second.next_line()] == ["ended", "dropped"]
    while (said := third.next_line()) != "began":
        assert said.startswith("waited ")
    assert first.said.empty()


def test_devices_are_leased_apart_and_a_worker_leaves_one_for_the_other(worker, tmp_path):
    first, second = worker(), worker()
    first.tell("gpu-0 1")
    second.tell("gpu-1 1")
    assert [first.next_line(), second.next_line()] == ["began", "began"]
    first.tell("end")
    second.tell("end")
    assert [first.next_line(), second.next_line()] == ["ended", "ended"]
    first.tell("gpu-1 1")
    assert first.next_line() == "dropped"
    assert second.next_line() == "dropped"
    assert first.next_line() == "began"
    one, two = first.process.pid, second.process.pid
    assert journal(tmp_path, "gpu-0.0") == [(one, "taken"), (one, "dropped")]
    assert journal(tmp_path, "gpu-1.0") == [(two, "taken"), (two, "dropped"), (one, "taken")]


def test_one_process_uses_one_device_at_a_time(tmp_path):
    lease = DeviceLease(lambda: None, tmp_path)
    with lease.task("gpu-0"), pytest.raises(RuntimeError, match="device gpu-1: a task of this process"):
        lease.task("gpu-1").__enter__()


def test_a_long_journal_is_begun_anew(tmp_path):
    (tmp_path / "gpu-0.0.lease").write_text("1.000 1 taken\n" * 80_000)
    with DeviceLease(lambda: None, tmp_path).task("gpu-0") as place:
        place.note("loaded")
    assert [event for _, event in journal(tmp_path, "gpu-0.0")] == ["taken", "loaded"]


def test_a_folder_of_locks_that_is_another_users_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    with pytest.raises(PermissionError, match="tokensieve-leases-4000000 belongs to another user"):
        lease_folder()
