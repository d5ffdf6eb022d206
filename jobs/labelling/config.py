"""One YAML file describes one labelling project: a source, a policy, and a section for each labeller that is used."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from jobs.errors import ConfigError
from jobs.labelling.claude.config import ClaudeConfig
from jobs.labelling.coarse import CoarseConfig
from jobs.labelling.human_spans import SpansConfig
from jobs.labelling.lexicon import LexiconConfig
from jobs.labelling.sae.config import SaeConfig
from jobs.scoring.source import SourceConfig
from jobs.session import SparkConfig
from jobs.tables import TablesConfig

Section = TypeVar("Section", bound=BaseModel)


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
