"""All verbs that take one configuration: their names, what they do, and where their code is.

Nothing is imported here but this, so that help is instant.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb: `module.function` takes the configuration, a Spark verb a session too, and returns the counts.

    `model` is the configuration's class, as `module:class`.
    """

    name: str
    help: str
    module: str
    function: str = "run"
    spark: bool = True
    model: str = "jobs.config:Config"
    asks_claude: bool = False
    """Takes `--dry-run`, as `claude.dry_run`."""
    estimate: "Verb | None" = None
    """Takes `--dry-run`, which runs this verb instead."""


ESTIMATE = Verb(
    name="score --dry-run",
    help="Say what scoring would take; write nothing.",
    module="jobs.scoring.estimate",
    spark=False,
)
VERBS = (
    Verb(
        name="score",
        help="Score the source token by token: tables scores, quarantine.",
        module="jobs.score",
        estimate=ESTIMATE,
    ),
    Verb(name="sweep", help="Count what is forgotten at each of many thresholds: table sweep.", module="jobs.sweep"),
    Verb(name="mask", help="Decide from stored scores what is forgotten: table masked.", module="jobs.mask"),
    Verb(name="export", help="Write Megatron shards with a loss mask.", module="jobs.export"),
    Verb(name="verify", help="Check every exported file against the manifest.", module="jobs.verify", spark=False),
    Verb(name="report", help="Write one HTML page on a corpus.", module="jobs.report"),
    Verb(name="demo", help="Run everything on the bundled text.", module="jobs.demo"),
)
MAINTAIN_VERBS = (
    Verb(
        name="compact",
        help="Write each table's rows into few files; their content stays.",
        module="jobs.maintain",
        function="compact",
        estimate=Verb(name="compact --dry-run", help="", module="jobs.maintain", function="compactable"),
    ),
    Verb(
        name="vacuum",
        help="Remove old versions that no kept release names: of tables, ledgers, manifests, shards.",
        module="jobs.maintain",
        function="vacuum",
        estimate=Verb(name="vacuum --dry-run", help="", module="jobs.maintain", function="removable"),
    ),
)
PLAN = Verb(
    name="plan",
    help="Check that a training run fits its shards, and print what it will do.",
    module="jobs.train",
    function="plan",
    spark=False,
)
TRAIN = Verb(
    name="train",
    help="Train on the shards; forbidden tokens bear no loss.",
    module="jobs.train",
    function="train",
    spark=False,
)
RESUME = Verb(
    name="resume",
    help="Go on with a training run from its newest checkpoint; start it where there is none.",
    module="jobs.train",
    function="resume",
    spark=False,
)
EVALUATE = Verb(
    name="eval",
    help="Measure the loss of every checkpoint of a run on its evaluation sets.",
    module="jobs.train",
    function="evaluate",
    spark=False,
)
ENCODER = Verb(
    name="encoder",
    help="Train an encoder for classifiers: the halves of a biLM, or a masked model.",
    module="jobs.pretrain_encoder",
    spark=False,
    model="pretrain.language.config:EncoderConfig",
)
FIT = Verb(
    name="recipe",
    help="Train a classifier bundle by a recipe (`fit --config FILE` is enough).",
    module="jobs.fit",
    spark=False,
    model="pretrain.classifier.config:FitConfig",
)
FIT_REPORT = Verb(
    name="report",
    help="Measure a bundle on labelled documents: report.json and one HTML page.",
    module="jobs.fit_report",
    spark=False,
    model="jobs.fit_report:FitReportConfig",
)
CALIBRATE = Verb(
    name="calibrate",
    help="Choose thresholds for a goal: the same classifier as a new bundle.",
    module="jobs.calibrate",
    spark=False,
    model="jobs.calibrate:CalibrateConfig",
)
MIX = "pretrain.mix.config:MixConfig"
MIX_VERBS = (
    Verb(
        name="plan",
        help="Show documents, tokens and shares of a mix; write nothing.",
        module="jobs.mix",
        function="plan",
        spark=False,
        model=MIX,
    ),
    Verb(
        name="write",
        help="Write the mix: a blend, or one shuffled shard set.",
        module="jobs.mix",
        function="write",
        spark=False,
        model=MIX,
    ),
)
LABEL = "jobs.labelling.config:LabelConfig"
LABEL_VERBS = (
    Verb(name="coarse", help="Copy document labels to tokens.", module="jobs.labelling.coarse", model=LABEL),
    Verb(name="lexicon", help="Label by words, learned by log-odds.", module="jobs.labelling.lexicon", model=LABEL),
    Verb(name="spans", help="Take spans from a file.", module="jobs.labelling.human_spans", model=LABEL),
)
SAE_VERBS = (
    Verb(
        name="export",
        help="Cut the chosen latents out of a released SAE.",
        module="jobs.labelling.sae.export",
        spark=False,
        model=LABEL,
    ),
    Verb(name="stats", help="Activation statistics, top contexts.", module="jobs.labelling.sae.stats", model=LABEL),
    Verb(
        name="describe",
        help="Claude explains each latent.",
        module="jobs.labelling.sae.describe",
        spark=False,
        model=LABEL,
        asks_claude=True,
    ),
    Verb(
        name="select",
        help="Claude picks the policy's latents.",
        module="jobs.labelling.sae.select",
        spark=False,
        model=LABEL,
        asks_claude=True,
    ),
    Verb(name="label", help="Label tokens by the chosen latents.", module="jobs.labelling.sae.label", model=LABEL),
)
CLAUDE_VERBS = (
    Verb(
        name="documents",
        help="One label a document.",
        module="jobs.labelling.claude.documents",
        model=LABEL,
        asks_claude=True,
    ),
    Verb(
        name="sentences",
        help="One label a sentence.",
        module="jobs.labelling.claude.sentences",
        model=LABEL,
        asks_claude=True,
    ),
    Verb(
        name="questions",
        help="One label a multiple-choice question.",
        module="jobs.labelling.claude.questions",
        spark=False,
        model=LABEL,
        asks_claude=True,
    ),
)
