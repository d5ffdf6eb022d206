"""The bare loop: one process on one core that reads its Parquet files, tokenizes, packs, computes, and writes nothing.

A command names files; the answer counts. The model is loaded when the process starts.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from tests.bench.scoring.child import serve
from tests.bench.scoring.classifiers import settings
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.scoring.batch_group import Request
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.scorer import Scorer

BATCH_ROWS = 64


def requests(scorer: Scorer, files: Sequence[str]) -> Iterator[Request[None]]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(BATCH_ROWS, columns=["text"], use_threads=False):
                yield Request(batch=None, tokens=scorer.tokenized(batch.column(0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    scorer = Scorer(settings(Bundle.load(parser.parse_args().bundle)))
    torch.set_num_threads(1)

    def loop(files: list[str]) -> dict[str, Any]:
        meter, cpu = Meter(), time.process_time()
        for _ in scorer.scored(requests(scorer, files), meter):
            pass
        return {"tokens": meter.tokens, "cpu_s": time.process_time() - cpu}

    serve(loop)


if __name__ == "__main__":
    main()
