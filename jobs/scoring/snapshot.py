"""How far a scoring run is, from what its tasks last said: a line for people, a JSON object for machines.

Rows leave a task in large batches, so what is under way is estimated by the tokens that have come back from the device;
the share of the work, and with it the remaining time, follows the text's bytes where the listing knows them.
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tokensieve.jobs.source.listing import Work
from tokensieve.jobs.spark.progress import duration
from tokensieve.udfs.scoring.heartbeat import Heartbeat
from tokensieve.udfs.scoring.meter import Reading, total

PACE_SECONDS = 60.0
STALE_SECONDS = 10.0  # behind the newest heartbeat: a task that said nothing for so long is gone, or hangs
BYTES_PER_TOKEN = 4  # until the first documents are out


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a run. Counts are for people who watch; the tables are counted when they are written.

    Attributes:
        seconds: since the run began. step: the name of the Spark jobs that run.
        documents, text_bytes: scored, those under way included by estimate. work: what is to be scored.
        share: of the work, 0 to 1. eta_s: seconds to its end at the pace of the last minute; None: not known yet.
        devices: at work now. tokens_per_s: classifier tokens a second and device, in the last minute.
        idle_share, padding: as `udfs.scoring.meter.Reading`, over all tasks.
    """

    seconds: float
    step: str | None
    tasks_begun: int
    tasks_done: int
    documents: int
    quarantined: int
    text_bytes: int
    work: Work
    share: float
    eta_s: float | None
    devices: int
    tokens_per_s: float | None
    idle_share: float
    padding: float

    def json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    def line(self) -> str:
        """For people."""
        speed = "" if self.tokens_per_s is None else f" at {self.tokens_per_s:,.0f} tokens/s each"
        return (
            f"{self.step or 'score'}: {self.share:.1%} of {self.work.documents:,} documents, "
            f"ETA {duration(self.eta_s)}, {self.documents:,} scored, {self.quarantined:,} quarantined, "
            f"{self.devices} {'device' if self.devices == 1 else 'devices'}{speed}, "
            f"idle {self.idle_share:.0%}, padding {self.padding:.1%}"
        )


class Pace:
    """Turns heartbeats into snapshots; remembers a minute of them. Times are seconds of one clock."""

    def __init__(self, work: Work, began: float) -> None:
        self.work, self.began = work, began
        self._seen: deque[tuple[float, float, float, int]] = deque()  # time, share, tokens, devices

    def snapshot(self, beats: list[Heartbeat], now: float, step: str | None) -> Snapshot:
        """The state at `now`."""
        sums = total(beat.reading for beat in beats)
        ahead = sums.read / sums.settled if sums.settled else 0.0
        text_bytes = sums.text_bytes * ahead if sums.settled else sums.read * BYTES_PER_TOKEN
        documents = min(int(sums.documents * ahead), self.work.documents)
        share = self._share(sums, text_bytes, documents)
        devices = len({beat.device for beat in at_work(beats)})
        share_per_s, tokens_per_s = self._rates(now, share, sums.tokens * ahead, devices if beats else None)
        return Snapshot(
            seconds=round(now - self.began, 1),
            step=step,
            tasks_begun=len(beats),
            tasks_done=sum(beat.done for beat in beats),
            documents=documents,
            quarantined=sums.quarantined,
            text_bytes=int(text_bytes),
            work=self.work,
            share=round(share, 4),
            eta_s=round((1 - share) / share_per_s, 1) if share_per_s > 0 else None,
            devices=devices,
            tokens_per_s=round(tokens_per_s, 1) if tokens_per_s > 0 else None,
            idle_share=round(sums.idle, 4),
            padding=round(sums.padding, 4),
        )

    def _share(self, sums: Reading, text_bytes: float, documents: int) -> float:
        """By text bytes where they are known; all rows seen is the end, whatever the listing said of their bytes."""
        whole = self.work.documents
        if sums.documents + sums.quarantined >= whole:
            return 1.0
        found = text_bytes / self.work.text_bytes if self.work.text_bytes else (documents + sums.quarantined) / whole
        return min(found, 0.999)

    def _rates(self, now: float, share: float, tokens: float, devices: int | None) -> tuple[float, float]:
        """Share a second, and tokens a second and device; a task that began anew may take both below zero.

        `devices`: None while no task has begun, which is no part of the pace.
        """
        if devices is None or (self._seen and self._seen[-1][0] >= now):
            return 0.0, 0.0
        self._seen.append((now, share, tokens, devices))
        while len(self._seen) > 2 and self._seen[0][0] < now - PACE_SECONDS:
            self._seen.popleft()
        then, share_then, tokens_then, _ = self._seen[0]
        device_s = sum((b[0] - a[0]) * (a[3] + b[3]) / 2 for a, b in zip(self._seen, list(self._seen)[1:]))
        return (
            (share - share_then) / (now - then) if now > then else 0.0,
            (tokens - tokens_then) / device_s if device_s else 0.0,
        )


def at_work(beats: list[Heartbeat]) -> list[Heartbeat]:
    """Tasks that run, as far as their heartbeats tell; by the executors' clocks alone."""
    newest = max((beat.at for beat in beats), default=0.0)
    return [beat for beat in beats if not beat.done and beat.at >= newest - STALE_SECONDS]


def device_figures(beats: list[Heartbeat]) -> dict[str, float | int]:
    """What a run's devices did, summed over tasks; of a task that ran twice only the last attempt.

    tokens_per_s is classifier tokens a second and device, while it had a task, device_s the seconds that devices had
    one, summed; devices is how many had one at once.
    """
    sums = total(beat.reading for beat in beats)
    spans = [span for device in sorted({beat.device for beat in beats}) for span in _spans(beats, device)]
    seconds = sum(ended - began for began, ended in spans)
    return {
        "devices": _most_at_once(spans),
        "device_s": round(seconds, 3),
        "tokens_per_s": round(sums.tokens / seconds, 1) if seconds else 0.0,
        "idle_share": round(sums.idle, 4),
        "padding": round(sums.padding, 4),
        "token_budget": sums.token_budget,
        "out_of_memory": sums.out_of_memory,
    }


def _spans(beats: list[Heartbeat], device: str) -> list[tuple[float, float]]:
    """When a device had tasks; those of several at a time joined."""
    spans: list[tuple[float, float]] = []
    for began, ended in sorted((beat.began, beat.at) for beat in beats if beat.device == device):
        if spans and began <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(ended, spans[-1][1]))
        else:
            spans.append((began, ended))
    return spans


def _most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    edges = sorted(edge for began, ended in spans for edge in ((began, 1), (ended, -1)))
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most
