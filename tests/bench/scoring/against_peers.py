"""Our scan of the 20 M encoder against the ways of others, each in turn on one core, tokens of documents a CPU second.

Also what share of the core's matrix peak the useful work of our scan is. That the others compute the same scores is
checked before anything is timed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from tests.bench.report import median
from tests.bench.scoring import peers
from tests.bench.scoring.classifiers import MARGIN, POLICY, WINDOW, Work, gemm_flops, settings
from tests.bench.scoring.ours import Scan, scan
from tests.bench.scoring.runs import Found, Run, in_turns, per_cpu_s, ratio, timed
from tests.bench.scoring.sample import ROW, Corpus, texts
from tokensieve.jobs.config.score import CascadeConfig
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.packing.windows import windows
from tokensieve.udfs.scores.stored_scores import quantize_logits
from tokensieve.udfs.scoring.scorer import Scorer

BATCH = 32  # rows of a sorted batch: of 256 and 32 the one with less padding, and both exceed a core's cache
PARTITION = 16  # times the timed text: what rows are sorted within
SCANNED = 1 / 3  # of the documents, for the cascade of random weights: about what passes medicine-tiny's at 99 %


def against_peers(corpus: Corpus, bundle: Bundle, tokens: int, rounds: int) -> Found:
    """`over_reference`, `over_reference_cascade`, `over_hf_pipeline`, `over_sorted_batches`, `gemm_share`."""
    documents = texts(corpus.sample(tokens, "peers"))
    scorer, tokenizer, model = Scorer(settings(bundle)), bundle.tokenizer(), peers.token_classifier(bundle)
    partition = tokenizer.encode(texts(corpus.sample(PARTITION * tokens, "partition")))
    whole = scan(scorer, documents, POLICY)
    check_equal(whole, peers.padded(model, tokenizer, documents))
    pipe = peers.pipeline(model, tokenizer)
    ways: dict[str, Callable[[], Run]] = {
        "ours": lambda: timed(lambda: scan(scorer, documents, POLICY).tokens),
        "ours, cascade": partial(timed, _cascade(bundle, documents)),
        "rows of 1,024": lambda: timed(lambda: len(peers.padded(model, tokenizer, documents))),
        "sorted batches": lambda: timed(lambda: peers.sorted_batches(model, partition, BATCH, PARTITION)),
        "pipeline, batch 1": lambda: timed(lambda: _piped(pipe, documents, 1, whole.tokens)),
        "pipeline, batch 32": lambda: timed(lambda: _piped(pipe, documents, 32, whole.tokens)),
        "matrix peak": lambda: Run(amount=gemm_flops(), cpu_s=1.0, wall_s=1.0),
    }
    _piped(pipe, documents[:1], 1, 0)
    runs = in_turns(ways, rounds, warm_up=False)
    found = Found(lines=[f"{len(documents)} documents, {whole.tokens:,} tokens", *corpus.padding(), *packing(whole)])
    found.add("encoder of 20 M, tokens", runs)
    pipes = max((runs["pipeline, batch 1"], runs["pipeline, batch 32"]), key=per_cpu_s)
    found.ratios = {
        "over_reference": ratio(runs["ours"], runs["rows of 1,024"]),
        "over_reference_cascade": ratio(runs["ours, cascade"], runs["rows of 1,024"]),
        "over_hf_pipeline": ratio(runs["ours"], pipes),
        "over_sorted_batches": ratio(runs["ours"], runs["sorted batches"]),
        "gemm_share": gemm_share(Work.of(bundle), whole, runs["ours"], runs["matrix peak"]),
    }
    padding = {batch: peers.sorted_padding(partition, batch) for batch in (BATCH, 256)}
    found.lines += [f"sorted batches of {batch}: {value:.2f} positions a token" for batch, value in padding.items()]
    found.lines += _eager(bundle, documents, rounds) + _shares(Work.of(bundle), whole, runs)
    found.lines += _with_overlap(whole, found.ratios)
    return found


def gemm_share(work: Work, scanned: Scan, runs: list[Run], peaks: list[Run]) -> float:
    """Useful FLOP a CPU second of a whole scan, tokenizing and codecs included, over the matrix peak of its round."""
    flops = work.flops(scanned.lengths_D)
    return median([flops / run.cpu_s / peak.amount for run, peak in zip(runs, peaks)])


def packing(scanned: Scan) -> list[str]:
    """What our packs have that no document asked for."""
    read = scanned.reading.read
    return [f"padding of our packs {scanned.reading.padding:.2%}; overlap of windows {read / scanned.tokens - 1:.1%}"]


def check_equal(ours: Scan, logits_T: np.ndarray) -> None:
    """Raises RuntimeError unless documents of one window have the same stored scores, give or take one step."""
    single_T = np.repeat(ours.lengths_D <= ROW, ours.lengths_D)
    apart = np.abs(ours.scores_T[single_T].astype(int) - quantize_logits(logits_T)[single_T])
    if not single_T.any() or apart.max() > 1:
        raise RuntimeError(f"transformers' scores are up to {apart.max(initial=0)} steps from ours: not the same work")


def _cascade(bundle: Bundle, documents: Sequence[str]) -> Callable[[], int]:
    """A scan that looks into the share SCANNED of the documents."""
    config = CascadeConfig()
    every = scan(Scorer(settings(bundle, cascade=config.probing({POLICY: 0.0}))), documents, POLICY)
    level = float(np.nanquantile(every.probe_D, 1 - SCANNED))
    scorer = Scorer(settings(bundle, cascade=config.probing({POLICY: level})))
    return lambda: scan(scorer, documents, POLICY).tokens


def _piped(pipe: Callable[..., list[object]], documents: Sequence[str], batch: int, tokens: int) -> int:
    pipe(list(documents), batch_size=batch)
    return tokens


def _eager(bundle: Bundle, documents: Sequence[str], rounds: int) -> list[str]:
    """What transformers' eager attention would cost instead of sdpa, on four rows."""
    tokenizer = bundle.tokenizer()
    tokens = tokenizer.encode(list(documents))
    some = [tokenizer.decode(tokens.ids_T[at * ROW : (at + 1) * ROW].tolist()) for at in range(4)]
    models = {name: peers.token_classifier(bundle, name) for name in ("sdpa", "eager")}
    ways = {
        name: lambda model=model: timed(lambda: len(peers.padded(model, tokenizer, some)))
        for name, model in models.items()
    }
    runs = in_turns(ways, rounds)
    return [f"rows of 1,024 with eager attention: {ratio(runs['eager'], runs['sdpa']):.2f} of sdpa's speed"]


def _with_overlap(whole: Scan, ratios: dict[str, float]) -> list[str]:
    """What the ratios would be if every token had as much context in the others' rows as in our windows."""
    cut = windows(whole.lengths_D, WINDOW, MARGIN)
    rows = int(np.ceil(whole.lengths_D / ROW).sum())
    more = {"over_reference": len(cut.doc_W) / rows, "over_sorted_batches": float(cut.lengths_W.sum() / whole.tokens)}
    reckoned = ", ".join(f"{name} {ratios[name] * times:.2f}" for name, times in more.items())
    return [f"reckoned, if the others read windows that overlap as ours: {reckoned}"]


def _shares(work: Work, whole: Scan, runs: dict[str, list[Run]]) -> list[str]:
    """How near to the peak each side's multiplications are, those for padding and overlap counted as work."""
    peak = median([run.amount for run in runs["matrix peak"]])
    useful = work.flops(whole.lengths_D) / whole.tokens
    done = {"ours": useful * whole.reading.computed / whole.tokens}
    rows = sum(-(-int(length) // ROW) for length in whole.lengths_D)
    done["rows of 1,024"] = rows * ROW * (2 * work.weights + work.attention * ROW) / whole.tokens
    shares = [f"{name} {per_cpu_s(runs[name]) * flops / peak:.0%}" for name, flops in done.items()]
    return [f"matrix peak {peak / 1e9:.1f} GFLOP/s; share of it with padding and overlap as work: {', '.join(shares)}"]
