"""What a scoring task counts while it runs: for people who watch, never for the balance of documents.

One Meter per task, written by the thread that computes and read by the one that reports.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A meter's state, and what follows from it.

    Attributes:
        documents: scored so far. quarantined: that could not be.
        text_bytes: UTF-8 bytes of scored ones. tokens: classifier tokens of scored documents.
        read: tokens that the windows hold, overlaps counted twice. computed: rows that the device computed for them.
        settled: of `read`, about what belongs to documents that were given out; the rest is under way.
        skipped: tokens of documents that a cascade did not look into.
        busy_s, wall_s: seconds that the device computed, and since the first pack was handed to it.
        token_budget: of a pack, after halving. out_of_memory: how often the device's memory did not suffice.
    """

    documents: int = 0
    quarantined: int = 0
    text_bytes: int = 0
    tokens: int = 0
    read: int = 0
    settled: int = 0
    computed: int = 0
    skipped: int = 0
    busy_s: float = 0.0
    wall_s: float = 0.0
    token_budget: int = 0
    out_of_memory: int = 0

    @property
    def padding(self) -> float:
        """Share of computed rows that no window asked for."""
        return 1 - self.read / self.computed if self.computed else 0.0

    @property
    def idle(self) -> float:
        """Share of the time since the first pack in which the device waited."""
        return max(0.0, 1 - self.busy_s / self.wall_s) if self.wall_s else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Classifier tokens a second since the first pack."""
        return self.tokens / self.wall_s if self.wall_s else 0.0


def total(readings: Iterable[Reading]) -> Reading:
    """The sum over tasks; of token budgets the smallest, as of the device that had least memory."""
    readings = list(readings)
    names = [name for name in Reading.__dataclass_fields__ if name != "token_budget"]
    sums = {name: sum(getattr(reading, name) for reading in readings) for name in names}
    budgets = [reading.token_budget for reading in readings if reading.token_budget]
    return Reading(**sums, token_budget=min(budgets, default=0))


@dataclass(kw_only=True)
class Meter:
    """Counters of one task; see `Reading`."""

    documents: int = 0
    quarantined: int = 0
    text_bytes: int = 0
    tokens: int = 0
    read: int = 0
    settled: int = 0
    computed: int = 0
    skipped: int = 0
    busy_s: float = 0.0
    token_budget: int = 0
    out_of_memory: int = 0
    began: float | None = field(default=None)
    ended: float = 0.0
    busy: Callable[[], float] | None = None
    """Says how many seconds the device has computed; asked when a pack's values have come back."""

    def start(self) -> None:
        """The first pack is about to be handed over; later calls change nothing."""
        self.began = time.perf_counter() if self.began is None else self.began

    def landed(self, *, read: int, computed: int) -> None:
        """A pack's values have come back."""
        self.read += read
        self.computed += computed
        self.busy_s = self.busy() if self.busy else self.busy_s
        self.ended = time.perf_counter()

    def given(self, *, documents: int, quarantined: int, text_bytes: int) -> None:
        """Rows leave the task."""
        self.documents += documents
        self.quarantined += quarantined
        self.text_bytes += text_bytes
        self.settled = self.read

    def reading(self) -> Reading:
        """The state now; time counts until the last pack that came back."""
        counts = {name: getattr(self, name) for name in Reading.__dataclass_fields__ if name != "wall_s"}
        return Reading(**counts, wall_s=max(0.0, self.ended - self.began) if self.began is not None else 0.0)
