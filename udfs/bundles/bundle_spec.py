"""What `bundle.json` says about a classifier bundle (format tokensieve-bundle/2).

Unknown keys are errors: a reader that skipped one could score with the wrong threshold or grid. The price is that a new
key needs a new format number.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tokensieve.udfs.files.hashed_folder import PLAIN_NAME

FORMAT = "tokensieve-bundle/2"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerFile(_Record):
    """The tokenizer that the encoder reads; `vocab_size` is its highest id + 1."""

    file: str = Field(pattern=PLAIN_NAME)
    sha256: str
    vocab_size: int


class LogitGrid(_Record):
    """Stored score q of a logit: clip(round(logit / step) + zero, 0, 255)."""

    zero: int = 128
    step: float = 0.0625


class LinearHead(_Record):
    """A logit that is linear in the features; over several layers it is linear in all of them."""

    kind: Literal["linear"] = "linear"

    def tensors(self, width: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of its weights for features of that width."""
        return {"weight": (width,), "bias": (1,)}


class MlpHead(_Record):
    """A logit from one hidden layer of `hidden` units."""

    kind: Literal["mlp"] = "mlp"
    hidden: int = Field(ge=1)
    activation: Literal["gelu", "relu"] = "gelu"

    def tensors(self, width: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of its weights for features of that width."""
        return {
            "up.weight": (self.hidden, width),
            "up.bias": (self.hidden,),
            "down.weight": (1, self.hidden),
            "down.bias": (1,),
        }


TokenHead = Annotated[LinearHead | MlpHead, Field(discriminator="kind")]


class HeadSpecs(_Record):
    """The heads on one encoder. The document's logit is the mean of `document` over its tokens, so it is linear."""

    token: TokenHead = LinearHead()
    document: LinearHead = LinearHead()

    def tensors(self, width: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of everything in heads.safetensors."""
        heads = {"token": self.token, "document": self.document}
        return {f"{unit}.{name}": shape for unit, head in heads.items() for name, shape in head.tensors(width).items()}


class Threshold(_Record):
    """A probability at or above which a unit counts as forbidden.

    Attributes:
        how: how it was chosen, in words.
        goal: what it was chosen for, such as `f1`, `share=0.05`, `recall=0.95`.
        split: the documents that it was chosen on.
    """

    value: float = Field(ge=0, le=1)
    how: str
    goal: str | None = None
    split: str | None = None


class Cascade(_Record):
    """First the document, then its tokens: a document whose score is below the threshold has no forget span.

    A setting, applied when rules are: both scores are stored for every document. `how`, `goal` and `split` as in
    `Threshold`.
    """

    document_threshold: float = Field(gt=0, lt=1)
    how: str
    goal: str | None = None
    split: str | None = None


class CalibrationData(_Record):
    """The documents that the thresholds were chosen on; `sha256` is over their sorted ids, one a line.

    Attributes:
        labels: the label set they were judged by, or `coarse` for the source's own label of each document.
        prevalence: share of positive units among the known ones, by unit (`token`, `document`).
    """

    labels: str
    documents: int
    tokens: int
    sha256: str
    prevalence: dict[str, float]


class TrainingData(_Record):
    """One source of training documents; `sha256` is over their sorted ids, one a line."""

    name: str
    license: str
    documents: int
    sha256: str


class Trial(_Record):
    """One setting of a head and its figures on calibration tokens, both classes weighing the same.

    `f1` is the highest over the thresholds; None where the tokens do not decide a figure.
    """

    layers: tuple[int, ...]
    settings: dict[str, float]
    f1: float | None
    auroc: float | None


class FitRecord(_Record):
    """How the heads came about.

    Attributes:
        method: the recipe's. encoder: where it came from.
        labels: by split the label set or the teacher that its labels are from; a split not named has coarse labels.
        splits: SHA-256 over the sorted text hashes of the training, calibration and held-out documents.
        chosen, trials: the chosen setting and all that were tried; None and empty where there was no choice.
    """

    method: str
    encoder: str
    labels: dict[str, str]
    splits: dict[str, str]
    chosen: Trial | None = None
    trials: tuple[Trial, ...] = ()


class BundleDraft(_Record):
    """What a recipe says about a classifier; the hashes of the files are added when the bundle is saved.

    Attributes:
        policy: the policy that the heads were trained for; definition_id: the hash of its content, None if unknown.
        encoder: `type` (a file of `udfs/encoders`) and its shape.
        window, margin: tokens, as in `udfs.packing.windows.windows`.
        thresholds: by unit, `token` and, where calibrated, `document`.
        metrics: measured figures by name; the card says on what.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    policy: str
    definition_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")
    encoder: dict[str, JsonValue]
    heads: HeadSpecs = HeadSpecs()
    window: int
    margin: int
    logit_grid: LogitGrid = LogitGrid()
    thresholds: dict[Literal["token", "document"], Threshold]
    cascade: Cascade | None = None
    calibration: CalibrationData | None = None
    training_data: list[TrainingData]
    fit: FitRecord | None = None
    metrics: dict[str, float]


class BundleSpec(BundleDraft):
    """`bundle.json`; `files` maps the name of every data file to its SHA-256 in hex."""

    format: Literal["tokensieve-bundle/2"] = FORMAT
    tokenizer: TokenizerFile
    files: dict[Annotated[str, Field(pattern=PLAIN_NAME)], str]
