"""Verb `fit report`: a bundle and labelled documents in, `report.json` and one self-contained `report.html` out.

Runs beside Spark, on a CPU or one CUDA device; documents stream, only histograms are held. The same inputs give the
same bytes. Documents that the bundle's thresholds were chosen on are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import InputError
from pretrain.classifier.calibrate import SmoothConfig
from pretrain.classifier.corpus import CorpusConfig
from pretrain.classifier.report.sets import EvaluationSet

if TYPE_CHECKING:
    from pretrain.classifier.calibrate import Baselines
    from pretrain.classifier.report.leaks import Seen
    from pretrain.classifier.report.model import Model
    from pretrain.classifier.report.schema import InputFile, Report
    from udfs.bundle import Bundle

JSON_NAME, HTML_NAME = "report.json", "report.html"


class ComputeConfig(BaseModel):
    """Where the classifier runs, as in section `score` of a corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    token_budget: int = Field(default=4096, ge=1)
    threads: int = Field(default=2, ge=1)


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
    from jobs.reporting.classifier_page import classifier_page
    from pretrain.hashed_file import replace_file

    with input_errors():
        report = make_report(config)
    config.out.mkdir(parents=True, exist_ok=True)
    replace_file(config.out / JSON_NAME, (report.model_dump_json(indent=1) + "\n").encode())
    replace_file(config.out / HTML_NAME, classifier_page(report).encode())
    return {"json": str(config.out / JSON_NAME), "html": str(config.out / HTML_NAME), "auroc": _aurocs(report)}


def make_report(config: FitReportConfig) -> "Report":
    """The report itself. Raises ReportError, LabelError, BundleError, FileNotFoundError."""
    from pretrain.classifier.calibrate import with_model
    from pretrain.classifier.report.bootstrap import DRAWS
    from pretrain.classifier.report.build import evaluate_set
    from pretrain.classifier.report.schema import Report
    from pretrain.classifier.report.thresholds import bundle_facts, bundle_levels, calibration_seen

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


def open_bundle(reference: str, compute: ComputeConfig) -> "tuple[Bundle, Model]":
    """A verified bundle and its scorer. Raises BundleError, InputError when it cannot run on this machine."""
    from pretrain.classifier.report.model import bundle_model
    from udfs.bundle import Bundle, resolve

    bundle = Bundle.load(resolve(reference))
    try:
        model = bundle_model(
            bundle,
            device=compute.device,
            dtype=compute.dtype,
            token_budget=compute.token_budget,
            threads=compute.threads,
        )
    except ValueError as error:
        raise InputError(f"bundle {reference}: {error}") from error
    return bundle, model


def definition_id(definition: str | None) -> str | None:
    """The hash of a policy; None stays. Raises ConfigError."""
    from jobs.policies import load_definition

    return None if definition is None else load_definition(definition).definition_id


@contextmanager
def input_errors() -> Iterator[None]:
    """Turns what a user can act on into InputError; LabelError stays, for it says enough."""
    from pretrain.classifier.errors import FitError
    from pretrain.classifier.report.errors import ReportError
    from udfs.bundle import BundleError
    from udfs.encoders import EncoderError

    try:
        yield
    except (FitError, ReportError, BundleError, EncoderError, FileNotFoundError, ImportError) as error:
        raise InputError(str(error)) from error


def _baselines(config: FitReportConfig, model: "Model") -> "tuple[Baselines, list[Seen], list[InputFile]]":
    """The lexicons, the documents that they were learned from and tuned on, and the files of these."""
    from pretrain.classifier.calibrate import Baselines, measure_baselines
    from pretrain.classifier.corpus import read_corpus
    from pretrain.classifier.report.leaks import Seen, content_keys
    from pretrain.classifier.report.schema import InputFile
    from pretrain.classifier.report.sets import file_hashes, in_memory
    from udfs.lexicon import learn

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
    from udfs.scoring.scorer import cuda_name

    device = ("cuda" if cuda_name() else "cpu") if compute.device == "auto" else compute.device
    dtype = ("bfloat16" if device == "cuda" else "float32") if compute.dtype == "auto" else compute.dtype
    return device, dtype


def _aurocs(report: "Report") -> dict[str, str]:
    rows = {one.name: one.row("token") for one in report.sets}
    return {name: row.scorers["model"].auroc.text(4) for name, row in rows.items() if row is not None}
