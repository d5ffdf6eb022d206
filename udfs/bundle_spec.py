"""What `bundle.json` says about a classifier bundle (format tokensieve-bundle/1).

Unknown keys are errors: a reader that skipped one could score with the wrong threshold or grid. The price is that a new
key needs a new format number.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FORMAT = "tokensieve-bundle/1"
# A file of the bundle stands directly in its folder.
_PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerFile(_Record):
    """The tokenizer that the encoder reads; `vocab_size` is its highest id + 1."""

    file: str = Field(pattern=_PLAIN_NAME)
    sha256: str
    vocab_size: int


class LogitGrid(_Record):
    """Stored score q of a logit: clip(round(logit / step) + zero, 0, 255)."""

    zero: int = 128
    step: float = 0.0625


class Threshold(_Record):
    """A probability at or above which a unit counts as forbidden, and how it was chosen."""

    value: float = Field(ge=0, le=1)
    how: str


class TrainingData(_Record):
    """One source of training documents; `sha256` is over their sorted ids, one a line."""

    name: str
    license: str
    documents: int
    sha256: str


class BundleDraft(_Record):
    """What a recipe says about a classifier; the hashes of the files are added when the bundle is saved.

    Attributes:
        policy: the policy that the heads were trained for.
        encoder: `type` (a file of `udfs/encoders`) and its shape.
        window, margin: tokens, as in `udfs.packing.windows`.
        thresholds: by unit, `token` and, where calibrated, `document`.
        metrics: measured figures by name; the card says on what.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    policy: str
    encoder: dict[str, JsonValue]
    window: int
    margin: int
    logit_grid: LogitGrid = LogitGrid()
    thresholds: dict[str, Threshold]
    training_data: list[TrainingData]
    metrics: dict[str, float]


class BundleSpec(BundleDraft):
    """`bundle.json`; `files` maps the name of every data file to its SHA-256 in hex."""

    format: Literal["tokensieve-bundle/1"] = FORMAT
    tokenizer: TokenizerFile
    files: dict[Annotated[str, Field(pattern=_PLAIN_NAME)], str]
