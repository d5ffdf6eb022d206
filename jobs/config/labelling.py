"""One YAML file describes one labelling project: a source, a policy, and a section for each labeller that is used."""

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.config.sae import SET_NAME, SaeConfig
from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.spark.session import SparkConfig
from tokensieve.jobs.tables.config import TablesConfig

Section = TypeVar("Section", bound=BaseModel)


class CoarseConfig(BaseModel):
    """Section `coarse`: either `column` or `label_set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="coarse", pattern=SET_NAME)
    """The label set that is written."""
    column: str | None = None
    """The column that holds a document's label."""
    positive: tuple[str, ...] = ()
    """Its values, as text, that mean "forget"; every other value means "retain"."""
    borderline: str | None = None
    """A column of true and false; true (or null) distrusts the label: the document stays unknown."""
    sidecar: str | None = None
    """A Parquet file or folder that has these columns; None: the source itself has them."""
    sidecar_id: str = "id"
    """The sidecar's column of document ids."""
    label_set: str | None = None
    """A label set of this project whose spans are copied up to documents."""
    share: float = Field(default=0.5, gt=0, le=1)
    """With `label_set`: the share of a document's bytes in forget spans from which on all of it is "forget"."""
    misfit_tolerance: float = Field(default=0.01, ge=0, le=1)
    """Largest share of documents without a label, or labelled with another text; above it the verb exits with 3."""

    @model_validator(mode="after")
    def _one_way(self) -> "CoarseConfig":
        if (self.column is None) == (self.label_set is None):
            raise ValueError("give either `column` (and `positive`) or `label_set`")
        if self.column is not None and not self.positive:
            raise ValueError("`column` needs `positive`: the values that mean forget")
        return self


class LexiconConfig(BaseModel):
    """Section `lexicon`: either `threshold` or `target_share`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="lexicon", pattern=SET_NAME)
    """The label set that is written."""
    label_set: str = "coarse"
    """The label set whose document labels are learned from."""
    file: str | None = None
    """A lexicon that was learned before, on this source or another; None: learn one."""
    alpha: float = Field(default=1.0, gt=0)
    """Added to every count."""
    min_count: int = Field(default=5, ge=1)
    """Rarer words score 0."""
    max_words: int = Field(default=500_000, ge=1)
    """The most frequent so many words are kept."""
    smooth: int = Field(default=0, ge=0)
    """A word's score is the mean over so many words to each side and itself."""
    threshold: float | None = Field(default=None, gt=0)
    """Log-odds from which on a word is labelled."""
    target_share: float | None = Field(default=None, gt=0, lt=1)
    """The lowest threshold, to one decimal, that labels at most this share of the source's bytes."""
    bridge: int = Field(default=1, ge=0)
    """Gaps of at most so many bytes between labelled words are labelled too; 1 joins neighbours."""

    @model_validator(mode="after")
    def _one_threshold(self) -> "LexiconConfig":
        if (self.threshold is None) == (self.target_share is None):
            raise ValueError("give either `threshold` or `target_share`")
        return self


class SpansConfig(BaseModel):
    """Section `spans`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="spans", pattern=SET_NAME)
    """The label set that is written."""
    file: str
    """Parquet, or JSONL (compressed or not), with `id`, `spans` (list of start, end, type) and, to check that they are
    about the same text, `text` or `text_hash` (xxh3-128)."""
    unit: Literal["characters", "bytes"]
    """What the offsets count: Unicode characters or UTF-8 bytes."""
    prefix: str = ""
    """Span types that begin so are "forget", such as medical/; others are "retain". Empty: all are "forget"."""
    misfit_tolerance: float = Field(default=0.01, ge=0, le=1)
    """Largest share of the file's documents that may be missing from the source, of another text, or have a span that
    does not fit; above it the verb exits with 3."""


class LabelConfig(BaseModel):
    """A labelling project. Label sets are the tables `labels/NAME` below `tables.root`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: SourceConfig
    tables: TablesConfig
    policy: str
    """A policy file: a path, or the name of one in `conf/policies/`."""
    sae: SaeConfig | None = None
    claude: ClaudeConfig | None = None
    coarse: CoarseConfig | None = None
    lexicon: LexiconConfig | None = None
    spans: SpansConfig | None = None
    spark: SparkConfig = SparkConfig()


def section(config: LabelConfig, name: str, model: type[Section]) -> Section:
    """The section that a verb needs. Raises ConfigError when the file lacks it."""
    found = getattr(config, name)
    if not isinstance(found, model):
        raise ConfigError(f"this verb needs a section `{name}`; its keys: {', '.join(model.model_fields)}")
    return found
