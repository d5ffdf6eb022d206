"""Walks a JSONL file once: how many lines, and places at which it can be cut, with the exact row number of each.

Whole blocks are searched for newlines; a line is looked at by itself only if it begins with white space. Marks stand
about MARK_BYTES apart, and further apart the longer the file is, so that a 20 GB file costs the driver kilobytes.
"""

from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig
from tokensieve.udfs.reading.json_lines import open_lines

BLOCK_BYTES = 4 * 2**20
MARK_BYTES = 64 * 2**10
NEWLINE = ord("\n")
_SPACE_256 = np.zeros(256, dtype=bool)
_SPACE_256[list(b" \t\n\r\x0b\x0c")] = True


@dataclass(frozen=True, kw_only=True)
class LineMarks:
    """M places at which lines begin, and the end: all int64 [M + 1], rising.

    Attributes:
        bytes_M1: offsets in the uncompressed stream, the first 0, the last its size.
        lines_M1: lines before each. rows_M1: lines before each that are not blank.
    """

    bytes_M1: np.ndarray
    lines_M1: np.ndarray
    rows_M1: np.ndarray


def line_marks(path: str, most: int, storage: StorageConfig = PROVIDERS_OWN) -> LineMarks:
    """At most `most` marks, which must be even.

    Raises pa.ArrowException, OSError: the stream cannot be read; StoreError: a store does not give it.
    """
    walk = _Walk(most)
    with open_lines(path, storage=storage) as stream:
        while block := stream.read(BLOCK_BYTES):
            walk.take(block)
    return walk.marks()


class _Walk:
    def __init__(self, most: int) -> None:
        self.most, self.every = most, MARK_BYTES
        self.marks_M3: list[tuple[int, int, int]] = [(0, 0, 0)]  # offset, lines, rows
        self.offset = self.lines = self.rows = 0
        self.open = False  # a line has begun and not ended
        self.open_has_text = False

    def take(self, block: bytes) -> None:
        data_B = np.frombuffer(block, np.uint8)
        ends_E = np.flatnonzero(data_B == NEWLINE) + 1
        starts_E1 = np.concatenate([[0], ends_E])
        texts_E1 = self._texts(block, data_B, starts_E1)
        texts_E1[0] |= self.open_has_text
        self._mark(ends_E, np.cumsum(texts_E1[:-1]))
        self.lines += len(ends_E)
        self.rows += int(texts_E1[:-1].sum())
        self.offset += len(block)
        self.open = int(starts_E1[-1]) < len(block) or (self.open and not len(ends_E))
        self.open_has_text = bool(texts_E1[-1])

    def _texts(self, block: bytes, data_B: np.ndarray, starts_E1: np.ndarray) -> np.ndarray:
        """Which of the block's lines have text, the unfinished last one (which may be empty) included."""
        begun_E1 = starts_E1 < len(data_B)
        texts_E1 = begun_E1 & ~_SPACE_256[data_B[np.where(begun_E1, starts_E1, 0)]]
        stops_E1 = np.append(starts_E1[1:], len(data_B))
        long_E1 = stops_E1 - starts_E1 > 1  # a newline alone is a blank line
        for at in np.flatnonzero(~texts_E1 & long_E1).tolist():
            texts_E1[at] = not block[starts_E1[at] : stops_E1[at]].isspace()
        return texts_E1

    def _mark(self, ends_E: np.ndarray, rows_E: np.ndarray) -> None:
        """Marks the first line that begins `every` bytes or more after the last mark, and so on through the block."""
        offsets_E = ends_E + self.offset
        at = int(np.searchsorted(offsets_E, self.marks_M3[-1][0] + self.every))
        while at < len(offsets_E):
            self.marks_M3.append((int(offsets_E[at]), self.lines + at + 1, self.rows + int(rows_E[at])))
            if len(self.marks_M3) > self.most:
                self.marks_M3, self.every = self.marks_M3[::2], self.every * 2
            at = int(np.searchsorted(offsets_E, self.marks_M3[-1][0] + self.every))

    def marks(self) -> LineMarks:
        end = (self.offset, self.lines + self.open, self.rows + self.open_has_text)
        marks_M3 = [mark for mark in self.marks_M3 if mark[0] < self.offset]
        bytes_M1, lines_M1, rows_M1 = np.array([*marks_M3, end], dtype=np.int64).T
        return LineMarks(bytes_M1=bytes_M1, lines_M1=lines_M1, rows_M1=rows_M1)
