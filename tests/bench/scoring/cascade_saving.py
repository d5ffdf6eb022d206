"""What the cascade saves: CPU seconds of a full scan over those of a cascade that keeps 99 % of its forget tokens.

On documents of which 18 % are about medicine, with the trained tiny classifier. The threshold is the highest that keeps
99 % on these very documents; what one chosen on other documents does to them, as a job chooses it, stands beside it.
"""

import numpy as np

from tests.bench.scoring.classifiers import POLICY, settings
from tests.bench.scoring.ours import Scan, scan
from tests.bench.scoring.runs import Found, in_turns, ratio, timed
from tests.bench.scoring.sample import Corpus, texts
from tokensieve.jobs.config.score import CascadeConfig
from tokensieve.jobs.scoring.cascade import Judged, achieved, choose_threshold
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.scoring.cascade import Cascade, stretches
from tokensieve.udfs.scoring.scorer import Scorer

KEEP = 0.99
LEVELS = (0.8, 0.5)  # token thresholds; the first one's cascade is timed


def cascade_saving(corpus: Corpus, bundle: Bundle, tokens: int, rounds: int) -> Found:
    """`cascade_saving`."""
    config = CascadeConfig()
    every = config.probing({POLICY: 0.0})
    probing = Scorer(settings(bundle, cascade=every))
    documents = texts(corpus.with_medicine(tokens, "cascade"))
    scans = [scan(probing, some, POLICY) for some in (documents, texts(corpus.with_medicine(tokens, "calibration")))]
    found, thresholds = Found(lines=[f"{len(documents)} documents, {scans[0].tokens:,} tokens"]), {}
    for level in LEVELS:
        here, other = (judged(one, every, level) for one in scans)
        thresholds[level] = highest_that_keeps(here)
        found.lines.append(
            f"token threshold {level}, cascade at {KEEP:.0%}: {achieved_in_words(here, thresholds[level])}"
        )
        chosen = choose_threshold(POLICY, other, KEEP, config.seed)
        found.lines.append(f"token threshold {level}, cascade chosen on others: {achieved_in_words(here, chosen)}")
    full, less = Scorer(settings(bundle)), config.probing({POLICY: thresholds[LEVELS[0]]})
    cascade = Scorer(settings(bundle, cascade=less))
    runs = in_turns(
        {
            "full scan": lambda: timed(lambda: scan(full, documents, POLICY).tokens),
            "cascade": lambda: timed(lambda: scan(cascade, documents, POLICY).tokens),
        },
        rounds,
        warm_up=False,
    )
    found.add("tiny, tokens", runs)
    found.ratios["cascade_saving"] = ratio(runs["cascade"], runs["full scan"])
    return found


def judged(scanned: Scan, cascade: Cascade, level: float) -> Judged:
    """What a full scan says of each document at a token threshold."""
    bounds_D1 = np.cumsum([0, *scanned.lengths_D])
    forget_T1 = np.concatenate([[0], np.cumsum(scanned.scores_T >= grid_threshold(level))])
    cut = stretches(scanned.lengths_D, cascade)
    return Judged(
        probe_D=np.where(np.isnan(scanned.probe_D), np.inf, scanned.probe_D.astype(np.float64)),
        forget_D=np.diff(forget_T1[bounds_D1]),
        tokens_D=scanned.lengths_D,
        probed_D=np.bincount(cut.doc_W, cut.lengths_W, len(scanned.lengths_D)).astype(np.int64),
    )


def highest_that_keeps(sample: Judged) -> float:
    """The highest probe threshold at which documents with the share KEEP of the forget tokens are scanned."""
    order = np.argsort(-sample.probe_D, kind="stable")
    kept = np.cumsum(sample.forget_D[order])
    return float(min(1.0, sample.probe_D[order][int(np.searchsorted(kept, KEEP * kept[-1]))]))


def achieved_in_words(sample: Judged, threshold: float) -> str:
    figures = achieved({POLICY: sample}, {POLICY: threshold})
    return (
        f"probe {threshold:.3f}, {figures['scanned']} of {figures['documents']} documents scanned, "
        f"{figures['kept'][POLICY]:.2%} of forget tokens kept, {figures['saving']} times fewer tokens read"
    )
