"""All verbs that take one configuration: their names, what they do, and where their code is.

Code is named here as text and imported when the verb runs, so that help is instant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

CONFIG = "jobs.config.corpus:Config"
LABEL = "jobs.config.labelling:LabelConfig"
MIX = "pretrain.mix.config:MixConfig"


def named(place: str) -> Any:
    """What lies at `module:name` of this package, such as `jobs.score:run`."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"tokensieve.{module}"), name)


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb: the function at `code` takes the configuration, a Spark verb a session too, and returns the counts.

    `model` is the configuration's class. Both are places as `named` takes them.
    """

    name: str
    help: str
    code: str
    spark: bool = True
    model: str = CONFIG
    asks_claude: bool = False
    """Takes `--dry-run`, as `claude.dry_run`."""
    estimate: "Verb | None" = None
    """Takes `--dry-run`, which runs this verb instead."""

    @property
    def run(self) -> Callable[..., Any]:
        """Imports the verb's function."""
        return named(self.code)


def _beside(name: str, help: str, code: str, model: str = CONFIG, *, asks_claude: bool = False) -> Verb:
    """A verb that runs beside Spark."""
    return Verb(name=name, help=help, code=code, model=model, spark=False, asks_claude=asks_claude)


def _maintain(name: str, help: str, dry: str) -> Verb:
    estimate = Verb(name=f"{name} --dry-run", help="", code=f"jobs.maintain:{dry}")
    return Verb(name=name, help=help, code=f"jobs.maintain:{name}", estimate=estimate)


def _asking(name: str, help: str, code: str) -> Verb:
    """A verb that asks Claude, beside Spark."""
    return _beside(name, help, code, LABEL, asks_claude=True)


ESTIMATE = _beside("score --dry-run", "Say what scoring would take; write nothing.", "jobs.scoring.estimate:run")
SCORE = "Score the source token by token: tables scores, quarantine."
SWEEP = "Count what is forgotten at each of many thresholds: table sweep."
MASK = "Decide from stored scores what is forgotten: table masked."
VERBS = (
    Verb(name="score", help=SCORE, code="jobs.score:run", estimate=ESTIMATE),
    Verb(name="sweep", help=SWEEP, code="jobs.sweep:run"),
    Verb(name="mask", help=MASK, code="jobs.mask:run"),
    Verb(name="export", help="Write Megatron shards with a loss mask.", code="jobs.export:run"),
    _beside("verify", "Check every exported file against the manifest.", "jobs.verify:run"),
    Verb(name="report", help="Write one HTML page on a corpus.", code="jobs.report:run"),
    Verb(name="demo", help="Run everything on the bundled text.", code="jobs.demo:run"),
    _beside(
        "calibrate",
        "Choose thresholds for a goal: the same classifier as a new bundle.",
        "jobs.calibrate:run",
        "jobs.calibrate:CalibrateConfig",
    ),
)
TRACE = Verb(
    name="trace",
    help="Follow one document from its raw row to a training sample, or a training batch back to its documents.",
    code="jobs.trace:run",
)
TRACE_STEP = _beside("trace --step", "", "jobs.tracing.batch:run")
REFRESH = Verb(
    name="refresh",
    help="Bring tables and shards up to the source, doing what is new or changed, and release them. For every night.",
    code="jobs.refresh:refresh",
)
MAINTAIN_VERBS = (
    _maintain("compact", "Write each table's rows into few files; their content stays.", "compactable"),
    _maintain(
        "vacuum", "Remove old versions that no kept release names: of tables, ledgers, manifests, shards.", "removable"
    ),
)
PRETRAIN_VERBS = (
    _beside("plan", "Check that a training run fits its shards, and print what it will do.", "jobs.train:plan"),
    _beside("train", "Train on the shards; forbidden tokens bear no loss.", "jobs.train:train"),
    _beside(
        "resume",
        "Go on with a training run from its newest checkpoint; start it where there is none.",
        "jobs.train:resume",
    ),
    _beside("eval", "Measure the loss of every checkpoint of a run on its evaluation sets.", "jobs.train:evaluate"),
    _beside(
        "encoder",
        "Train an encoder for classifiers: the halves of a biLM, or a masked model.",
        "jobs.pretrain_encoder:run",
        "pretrain.encoder.config:EncoderConfig",
    ),
)
FIT = _beside(
    "recipe",
    "Train a classifier bundle by a recipe (`fit --config FILE` is enough).",
    "jobs.fit:run",
    "pretrain.classifier.config:FitConfig",
)
FIT_REPORT = _beside(
    "report",
    "Measure a bundle on labelled documents: report.json and one HTML page.",
    "jobs.fit_report:run",
    "jobs.fit_report:FitReportConfig",
)
MIX_VERBS = (
    _beside("plan", "Show documents, tokens and shares of a mix; write nothing.", "jobs.mix:plan", MIX),
    _beside("write", "Write the mix: a blend, or one shuffled shard set.", "jobs.mix:write", MIX),
)
LABEL_VERBS = (
    Verb(name="coarse", help="Copy document labels to tokens.", code="jobs.labelling.coarse:run", model=LABEL),
    Verb(name="lexicon", help="Label by words, learned by log-odds.", code="jobs.labelling.lexicon:run", model=LABEL),
    Verb(name="spans", help="Take spans from a file.", code="jobs.labelling.human_spans:run", model=LABEL),
)
SAE_VERBS = (
    _beside("export", "Cut the chosen latents out of a released SAE.", "jobs.labelling.sae.export:run", LABEL),
    Verb(name="stats", help="Activation statistics, top contexts.", code="jobs.labelling.sae.stats:run", model=LABEL),
    _asking("describe", "Claude explains each latent.", "jobs.labelling.sae.describe:run"),
    _asking("select", "Claude picks the policy's latents.", "jobs.labelling.sae.select:run"),
    Verb(name="label", help="Label tokens by the chosen latents.", code="jobs.labelling.sae.label:run", model=LABEL),
)
CLAUDE_VERBS = (
    Verb(
        name="documents",
        help="One label a document.",
        code="jobs.labelling.claude.documents:run",
        model=LABEL,
        asks_claude=True,
    ),
    Verb(
        name="sentences",
        help="One label a sentence.",
        code="jobs.labelling.claude.sentences:run",
        model=LABEL,
        asks_claude=True,
    ),
    _asking("questions", "One label a multiple-choice question.", "jobs.labelling.claude.questions:run"),
)
