"""The installed back ends in turn on one core: tokens a CPU second, and decisions that differ from torch's."""

from collections.abc import Callable

import numpy as np

from tests.bench.scoring.against_peers import gemm_share, packing
from tests.bench.scoring.classifiers import POLICY, Work, gemm_flops, settings
from tests.bench.scoring.ours import Scan, scan
from tests.bench.scoring.runs import Found, Run, in_turns, ratio, timed
from tests.bench.scoring.sample import Corpus, texts
from udfs.bundle import Bundle
from udfs.scores import grid_threshold
from udfs.scoring.scorer import Scorer

NAMES = ("torch", "onnx", "onnx_int8")


def back_ends(corpus: Corpus, bundle: Bundle, tokens: int, rounds: int) -> Found:
    """`onnx_over_torch`, `onnx_int8_over_torch`, and `gemm_share` of torch, for one bundle."""
    documents, found = texts(corpus.sample(tokens, "back ends")), Found()
    scorers = {name: made for name in NAMES if (made := _scorer(bundle, name, found.lines))}
    scans = {name: scan(scorer, documents, POLICY) for name, scorer in scorers.items()}
    ways: dict[str, Callable[[], Run]] = {
        name: lambda scorer=scorer: timed(lambda: scan(scorer, documents, POLICY).tokens)
        for name, scorer in scorers.items()
    }
    ways["matrix peak"] = lambda: Run(amount=gemm_flops(), cpu_s=1.0, wall_s=1.0)
    runs = in_turns(ways, rounds, warm_up=False)
    found.add(f"{bundle.spec.name}, tokens", runs)
    found.lines += packing(scans["torch"])
    work = Work.of(bundle)
    found.ratios["gemm_share"] = gemm_share(work, scans["torch"], runs["torch"], runs["matrix peak"])
    for name in list(scorers)[1:]:
        found.ratios[f"{name}_over_torch"] = ratio(runs[name], runs["torch"])
        found.lines.append(f"{bundle.spec.name}, {name}: {flips(bundle, scans['torch'], scans[name])}")
    return found


def flips(bundle: Bundle, expected: Scan, other: Scan) -> str:
    """Token decisions that differ at the bundle's threshold."""
    level = grid_threshold(bundle.spec.thresholds["token"].value)
    differ = int(np.count_nonzero((expected.scores_T >= level) != (other.scores_T >= level)))
    return f"{differ:,} of {expected.tokens:,} decisions flip against torch"


def _scorer(bundle: Bundle, name: str, lines: list[str]) -> Scorer | None:
    try:
        return Scorer(settings(bundle, backend=name))
    except (ImportError, ValueError) as error:
        lines.append(f"{bundle.spec.name}, {name}: skipped: {error}")
        return None
