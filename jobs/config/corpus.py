"""One YAML file describes one corpus: this is what stands in it.

Each section is a file of this room, or of the room below that needs it alone; here they are put together.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tokensieve.jobs.config.export import ExportConfig, shards_folder
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.config.policy import PolicyConfig
from tokensieve.jobs.config.refresh import RefreshConfig
from tokensieve.jobs.config.score import ScoreConfig
from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.spark.session import SparkConfig
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.pretrain.launch.config import LaunchConfig
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.udfs.deciding.sweep import MOST_THRESHOLDS


class ReportConfig(BaseModel):
    """Section `report`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int = Field(default=12, ge=0, le=200)
    """Sample documents on the page: half with forgotten tokens, a quarter kept, a quarter dropped."""
    tokens_per_document: int = Field(default=400, ge=1, le=4000)
    """Longer documents are shown in part."""
    seed: int = 0
    """Another seed shows other documents."""


class SweepConfig(BaseModel):
    """Section `sweep`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thresholds: tuple[float, ...] = Field(
        default=(*(at / 20 for at in range(1, 20)), 0.99), min_length=1, max_length=MOST_THRESHOLDS
    )
    """Probabilities that take the place of the rules' thresholds, one after the other."""

    @field_validator("thresholds")
    @classmethod
    def _probabilities(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < one < 1 for one in thresholds):
            raise ValueError(f"thresholds are probabilities between 0 and 1, not {thresholds}")
        return tuple(sorted(set(thresholds)))


class TraceConfig(BaseModel):
    """Section `trace`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: tuple[str, ...] = ()
    """Folders of further training runs, or globs of them, beside `pretrain.out`."""


class Config(BaseModel):
    """One corpus: where it lies, which policies apply, where its tables and shards go, how it is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: SourceConfig
    tables: TablesConfig
    policies: dict[str, PolicyConfig] = Field(min_length=1)
    score: ScoreConfig = ScoreConfig()
    sweep: SweepConfig = SweepConfig()
    export: ExportConfig = ExportConfig()
    pretrain: PretrainConfig | None = None
    launch: LaunchConfig = LaunchConfig()
    report: ReportConfig = ReportConfig()
    trace: TraceConfig = TraceConfig()
    refresh: RefreshConfig = RefreshConfig()
    spark: SparkConfig = SparkConfig()

    def of_variant(self, variant: str | None) -> Self:
        """The configuration with another variant of the tables."""
        return self.model_copy(update={"tables": self.tables.model_copy(update={"variant": variant})})

    @property
    def shards(self) -> Path:
        """Where the shards lie: `export.folder`, else `shards` below `tables.root`, with the name of the variant.

        Raises ConfigError when they would lie on an object store.
        """
        return shards_folder(self.export, self.tables)

    @field_validator("policies")
    @classmethod
    def _column_names(cls, policies: dict[str, PolicyConfig]) -> dict[str, PolicyConfig]:
        for name in policies:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"policy {name!r} names a table column: use lower case, digits and _")
        return policies


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """Reads the configuration of a corpus: a path or a preset's name, with `key.key=value` overrides.

    Raises ConfigError: no such file, not YAML, an override without `=`, an unknown key, a wrong value.
    """
    return load_section(Config, path, overrides)
