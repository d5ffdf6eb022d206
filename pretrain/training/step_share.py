"""How the processes of a run share a step's samples. Written at every start of a run, read by training and by `trace`.

Needs no torch, so that the samples of a batch can be named anywhere.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "processes.jsonl"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The processes from step `first_step` on, until the run starts again."""

    first_step: int
    processes: int
    tensor: int
    pipeline: int
    micro_batch_size: int
    global_batch_size: int

    @property
    def data_parallel(self) -> int:
        return self.processes // (self.tensor * self.pipeline)

    def data_rank(self, rank: int) -> int:
        """The data-parallel rank of a process: Megatron counts tensor ranks first, then data, then pipeline.

        Raises ValueError for a rank that the run did not have.
        """
        if not 0 <= rank < self.processes:
            raise ValueError(f"rank {rank} of {self.processes} processes")
        return rank // self.tensor % self.data_parallel

    def samples(self, step: int, data_rank: int) -> list[range]:
        """The numbers of the samples in each microbatch that a data-parallel rank reads in a step."""
        size, first = self.micro_batch_size, step * self.global_batch_size
        starts = range(first + size * data_rank, first + self.global_batch_size, size * self.data_parallel)
        return [range(start, start + size) for start in starts]

    def write(self, folder: Path) -> None:
        """Appends to the folder's list of starts; a run that starts anew forgets the earlier ones."""
        path = folder / FILE_NAME
        with path.open("a" if self.first_step else "w", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(self)) + "\n")


def cut_at(folder: Path, step: int) -> Cut | None:
    """The processes that did a step for good: a later start repeats the steps after its first. None: not recorded."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    starts = [Cut(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    before = [one for one in starts if one.first_step <= step]
    return before[-1] if before else None
