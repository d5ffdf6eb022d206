"""`report.json`: every figure of a report with its interval, and the names of all that it was made from.

The page and the bundle's card are drawn from these records alone, so they cannot say anything else. A figure that the
documents do not decide (no unit of a class) is null, never 0.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tokensieve.pretrain.measuring.bootstrap import Estimate

FORMAT = "tokensieve-classifier-report/1"
Unit = Literal["token", "document"]
MODEL = "model"  # the name of the classifier among the scorers; the others are baselines


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputFile(_Record):
    """A file that was read, as the configuration names it."""

    path: str
    sha256: str


class AtShare(_Record):
    """Figures that depend on how many of the units are positive."""

    precision: Estimate
    f1: Estimate
    average_precision: Estimate


class ScorerFigures(_Record):
    """What one scorer reaches in one group.

    Attributes:
        threshold: the probability from which on a unit is marked; all but AUROC and average precision are at it.
        marked: marked share of all units, those of unknown label counted too.
        balanced: both classes weighing the same. natural: at the prevalence of the row.
    """

    threshold: float
    auroc: Estimate
    recall: Estimate
    false_positive_rate: Estimate
    marked: Estimate
    balanced: AtShare
    natural: AtShare


class Row(_Record):
    """One group of an evaluation set under all scorers.

    Attributes:
        kind, group: all documents (group ""), those of a domain, or those of a source.
        borrowed: the class that the group lacks and has from the whole set, for the figures that need both.
        documents, positives, negatives, unknown: of the group; the last three count units, borrowed ones too.
        prevalence: the share of positives that `natural` figures are at.
        differences: by baseline and figure, the model's minus the baseline's, paired over the same draws.
    """

    unit: Unit
    kind: Literal["all", "domain", "source"]
    group: str
    borrowed: Literal["positives", "negatives"] | None
    documents: int
    positives: int
    negatives: int
    unknown: int
    prevalence: float | None
    scorers: dict[str, ScorerFigures]
    differences: dict[str, dict[str, Estimate]]


class ReliabilityBin(_Record):
    """Units whose score lies in a stretch of the grid: mean predicted probability, and observed share of positives."""

    low: float
    high: float
    units: int
    predicted: float
    observed: Estimate


class Reliability(_Record):
    """Predicted against observed, at the prevalence of the set; the error is the mean distance over the units."""

    unit: Unit
    bins: list[ReliabilityBin]
    expected_calibration_error: Estimate


class SharePoint(_Record):
    """The threshold whose marked share is nearest to a wanted one; None where the grid has none near it."""

    wanted: float
    threshold: float | None
    marked: float | None
    recall: float | None
    precision: float | None


class Sweep(_Record):
    """What every threshold of the grid does, levels 0 to 256 in order; precision and F1 at the set's prevalence."""

    unit: Unit
    threshold: list[float]
    marked: list[float]
    recall: list[float]
    false_positive_rate: list[float]
    precision: list[float]
    f1: list[float]
    balanced_f1: list[float]
    shares: list[SharePoint]


class Piece(_Record):
    """One token of an excerpt with its probability; `unknown` tokens count neither way."""

    text: str
    probability: float
    kind: Literal["right_forget", "right_retain", "false_forget", "missed_forget", "unknown"]


class Mistake(_Record):
    """The passage of a document in which the classifier is most wrong in one way; `wrong` of its tokens are."""

    kind: Literal["false_forget", "missed_forget"]
    doc_id: str
    source: str
    domain: str
    document_probability: float | None
    wrong: int
    first_token: int
    tokens: int
    pieces: list[Piece]


class SetReport(_Record):
    """One evaluation set. `left_out` counts documents by reason; rows are in the order all, domains, sources."""

    name: str
    definition: str
    inputs: list[InputFile]
    documents: int
    left_out: dict[str, int]
    rows: list[Row]
    reliability: list[Reliability]
    sweeps: list[Sweep]
    mistakes: list[Mistake]

    def row(self, unit: Unit, group: str = "") -> Row | None:
        """The row of a group; "" is the whole set. None where the set has no labels of that unit."""
        return next((row for row in self.rows if row.unit == unit and row.group == group), None)


class BundleFacts(_Record):
    """The classifier that was measured; `thresholds` says of each unit its value and how it was chosen."""

    name: str
    policy: str
    bundle_id: str
    encoder_id: str
    thresholds: dict[str, tuple[float, str]]


class BaselineFacts(_Record):
    """A lexicon baseline: the words to each side that it averages over, and its threshold."""

    name: str
    smooth: int
    threshold: float


class Report(_Record):
    """The whole report."""

    format: Literal["tokensieve-classifier-report/1"] = FORMAT
    bundle: BundleFacts
    baselines: list[BaselineFacts]
    baseline_inputs: list[InputFile]
    seed: int
    draws: int
    device: str
    dtype: str
    sets: list[SetReport]
