"""Keeps a device busy with packs: the next is handed over before the last one's values are taken.

With a cascade the stretches of a group come first, and who is scanned follows from them; there the device waits for the
host once a group.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tokensieve.udfs.packing.windows import Windows, windows
from tokensieve.udfs.scoring.backends.backend import Pending
from tokensieve.udfs.scoring.batch_group import Forward, Group
from tokensieve.udfs.scoring.cascade import Cascade, probes, scanned, stretches
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.shared_pass import SharedPass

IN_FLIGHT = 2  # packs handed to a device before the oldest one's values are waited for

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class _Flight:
    """A pack on its way through a device."""

    forward: Forward
    pack: np.ndarray
    read: int
    pending: Pending

    def land(self, meter: Meter) -> None:
        self.forward.take(self.pack, self.pending.values())
        meter.landed(read=self.read, computed=self.pending.computed)


class Computing:
    """Runs groups through their passes. `meter` counts what is handed to the device."""

    def __init__(self, cascade: Cascade | None, meter: Meter) -> None:
        self.cascade = cascade
        self.meter = meter
        self._flying: deque[_Flight | Group[Any]] = deque()

    def run(self, groups: Iterable[Group[Batch]]) -> Iterator[Group[Batch]]:
        """The groups in their order, each once all of its packs have landed."""
        for group in groups:
            for at, shared in enumerate(group.passes if group.results else ()):
                if self.cascade is not None:
                    yield from self._probe(group, at, self.cascade)
                result, spec = group.results[at], shared.bundle.spec
                lengths_D = np.where(result.scanned_D, result.forward.lengths_D, 0)
                yield from self._fly(shared, result.forward, windows(lengths_D, spec.window, spec.margin))
            self._flying.append(group)
        yield from self._land(0)

    def _probe(self, group: Group[Any], at: int, cascade: Cascade) -> Iterator[Group[Any]]:
        """Reads the stretches of the group's documents, and settles which documents are scanned."""
        shared, result = group.passes[at], group.results[at]
        forward = result.forward
        cut = stretches(forward.lengths_D, cascade)
        yield from self._fly(shared, forward, cut)
        yield from self._land(0)
        result.probe_PD = np.stack([probes(scores_T, forward.bounds_D1, cut) for scores_T in forward.scores_PT])
        wanted_D = scanned(result.probe_PD, [policy for policy, _ in shared.policies], cascade)
        result.scanned_D = wanted_D | group.full_D()
        self.meter.skipped += int(forward.lengths_D[~result.scanned_D].sum())

    def _fly(self, shared: SharedPass, forward: Forward, cut: Windows) -> Iterator[Group[Any]]:
        """Hands over the packs of these windows; yields the groups that this completes."""
        backend = shared.backend
        for pack, ids_P, bounds_N1 in forward.packs(cut, backend.token_budget):
            self.meter.start()
            pending = backend.submit(ids_P, bounds_N1)
            self._flying.append(_Flight(forward=forward, pack=pack, read=len(ids_P), pending=pending))
            yield from self._land(IN_FLIGHT)

    def _land(self, most: int) -> Iterator[Group[Any]]:
        """Takes the oldest flights' values until at most so many fly; yields the groups that this completes."""
        while len(self._flying) > most:
            oldest = self._flying.popleft()
            if isinstance(oldest, Group):
                yield oldest
            else:
                oldest.land(self.meter)
