"""Our scan alone on one core: what share of the core's matrix peak its useful work is."""

from collections.abc import Callable

from tests.bench.scoring.against_peers import gemm_share, packing
from tests.bench.scoring.classifiers import POLICY, Work, gemm_flops, settings
from tests.bench.scoring.ours import scan
from tests.bench.scoring.runs import Found, Run, in_turns, timed
from tests.bench.scoring.sample import Corpus, texts
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.scoring.scorer import Scorer


def own_share(corpus: Corpus, bundle: Bundle, tokens: int, rounds: int) -> Found:
    """`gemm_share` of one bundle."""
    documents, scorer = texts(corpus.sample(tokens, "own share")), Scorer(settings(bundle))
    whole = scan(scorer, documents, POLICY)
    ways: dict[str, Callable[[], Run]] = {
        "ours": lambda: timed(lambda: scan(scorer, documents, POLICY).tokens),
        "matrix peak": lambda: Run(amount=gemm_flops(), cpu_s=1.0, wall_s=1.0),
    }
    runs = in_turns(ways, rounds, warm_up=False)
    found = Found(lines=packing(whole))
    found.add(f"{bundle.spec.name}, tokens", runs)
    found.ratios["gemm_share"] = gemm_share(Work.of(bundle), whole, runs["ours"], runs["matrix peak"])
    return found
