"""Verb `fit report`: a bundle and labelled documents in, `report.json` and one self-contained `report.html` out.

Runs beside Spark, on a CPU or one CUDA device; documents stream, only histograms are held. The same inputs give the
same bytes. Documents that the bundle's thresholds were chosen on are refused.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from tokensieve.jobs.policies.bundles import ComputeConfig, definition_id, input_errors, open_bundle
from tokensieve.pretrain.labelled.corpus import CorpusConfig
from tokensieve.pretrain.measuring.calibrate import SmoothConfig
from tokensieve.pretrain.measuring.sets import EvaluationSet

if TYPE_CHECKING:
    from tokensieve.pretrain.measuring.calibrate import Baselines
    from tokensieve.pretrain.measuring.leaks import Seen
    from tokensieve.pretrain.measuring.model import Model
    from tokensieve.pretrain.measuring.schema import InputFile, Report


JSON_NAME, HTML_NAME = "report.json", "report.html"


class BaselineConfig(BaseModel):
    """The lexicon to compare with: learned from the training split of a recipe's `corpus`, tuned on its calibration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: CorpusConfig
    smooth: SmoothConfig = SmoothConfig()


class FitReportConfig(BaseModel):
    """What to report on.

    Attributes:
        bundle: a folder, or the name of an installed bundle. out: the folder of the two files.
        definition: a policy file or name; label sets must then be of this policy. None: unchecked.
        baselines: None leaves them out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    out: Path
    sets: list[EvaluationSet] = Field(min_length=1)
    definition: str | None = None
    baselines: BaselineConfig | None = None
    compute: ComputeConfig = ComputeConfig()
    seed: int = Field(default=0, ge=0)


def run(config: FitReportConfig) -> dict[str, Any]:
    """Writes the report; returns where, and the token AUROC of each set with its interval.

    Raises InputError: a file, a bundle, labels or a set is not as configured, or a document was used before.
    """
    from tokensieve.jobs.pages.classifier.page import classifier_page
    from tokensieve.pretrain.hashed_file import replace_file

    with input_errors():
        report = make_report(config)
    config.out.mkdir(parents=True, exist_ok=True)
    replace_file(config.out / JSON_NAME, (report.model_dump_json(indent=1) + "\n").encode())
    replace_file(config.out / HTML_NAME, classifier_page(report).encode())
    return {"json": str(config.out / JSON_NAME), "html": str(config.out / HTML_NAME), "auroc": _aurocs(report)}


def make_report(config: FitReportConfig) -> "Report":
    """The report itself. Raises ReportError, LabelError, BundleError, FileNotFoundError."""
    from tokensieve.pretrain.measuring.bootstrap import DRAWS
    from tokensieve.pretrain.measuring.build import evaluate_set
    from tokensieve.pretrain.measuring.calibrate import with_model
    from tokensieve.pretrain.measuring.schema import Report
    from tokensieve.pretrain.measuring.thresholds import bundle_facts, bundle_levels, calibration_seen

    bundle, model = open_bundle(config.bundle, config.compute)
    baselines, seen, inputs = _baselines(config, model)
    levels, seen = with_model(bundle_levels(bundle.spec), baselines), [*calibration_seen(bundle), *seen]
    device, dtype = _resolved(config.compute)
    policy = definition_id(config.definition)
    return Report(
        bundle=bundle_facts(bundle),
        baselines=baselines.facts(),
        baseline_inputs=inputs,
        seed=config.seed,
        draws=DRAWS,
        device=device,
        dtype=dtype,
        sets=[
            evaluate_set(one, model, baselines.lexicons, levels, config.seed, seen=seen, definition_id=policy)
            for one in config.sets
        ],
    )


def _baselines(config: FitReportConfig, model: "Model") -> "tuple[Baselines, list[Seen], list[InputFile]]":
    """The lexicons, the documents that they were learned from and tuned on, and the files of these."""
    from tokensieve.pretrain.labelled.corpus import read_corpus
    from tokensieve.pretrain.measuring.calibrate import Baselines, measure_baselines
    from tokensieve.pretrain.measuring.leaks import Seen, content_keys
    from tokensieve.pretrain.measuring.schema import InputFile
    from tokensieve.pretrain.measuring.sets import file_hashes, in_memory
    from tokensieve.udfs.labels.lexicon import learn

    if config.baselines is None:
        return Baselines.none(), [], []
    asked = config.baselines.corpus
    corpus = read_corpus(asked, definition_id(config.definition))
    words = learn(corpus.training.texts, corpus.training.positive_D)
    found = measure_baselines(in_memory(corpus.calibration), model, words, config.baselines.smooth)
    seen = [
        Seen(what="learn the baselines from", keys_K=content_keys(corpus.training.texts)),
        Seen(what="tune the baselines on", keys_K=content_keys(corpus.calibration.texts)),
    ]
    hashes = file_hashes([asked.train], [asked.train_labels], [asked.train_label_set])
    return found, seen, [InputFile(path=path, sha256=sha256) for path, sha256 in hashes]


def _resolved(compute: ComputeConfig) -> tuple[str, str]:
    """Device and type of numbers that `auto` came to."""
    from tokensieve.udfs.scoring.scorer import cuda_name

    device = ("cuda" if cuda_name() else "cpu") if compute.device == "auto" else compute.device
    dtype = ("bfloat16" if device == "cuda" else "float32") if compute.dtype == "auto" else compute.dtype
    return device, dtype


def _aurocs(report: "Report") -> dict[str, str]:
    rows = {one.name: one.row("token") for one in report.sets}
    return {name: row.scorers["model"].auroc.text(4) for name, row in rows.items() if row is not None}
