"""Section `score` of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.scoring.cascade import CascadeConfig
from jobs.scoring.cost import CostConfig

PARTITION_MB = 16


class ScoreConfig(BaseModel):
    """Section `score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["auto", "torch", "compile"] = "auto"
    """auto: torch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where an executor has it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on CUDA, float32 on CPU."""
    token_budget: int | None = Field(default=None, ge=256)
    """Classifier tokens per forward pass; None: 2,048 on a CPU, whose cache that fits, 65,536 on CUDA."""
    threads_per_task: int = Field(default=1, ge=1)
    tasks_per_gpu: int = Field(default=1, ge=1, le=16)
    """Tasks, and so copies of the model, that are on one GPU at a time."""
    cpus_per_gpu_task: int | None = Field(default=None, ge=1)
    """Cores that Spark counts for a task with a GPU; None: its share of spark.executor.cores, where that is set."""
    partition_mb: float = Field(default=PARTITION_MB, gt=0)
    """Megabytes of text in one task of a Parquet or JSONL source; fewer where tasks would be fewer than slots."""
    quarantine_tolerance: float = Field(default=0.01, ge=0, le=1)
    """Largest share of documents that may be quarantined; above it the verb exits with 3."""
    progress_json: str | None = None
    """A file for one JSON object a second while it runs; None: `<tables.root>/_progress/score.jsonl`."""
    device_tokens_per_s: float | None = Field(default=None, gt=0)
    """For --dry-run: classifier tokens a second of one device, where it was measured; None: timed on this machine."""
    cost: CostConfig = CostConfig()
    cascade: CascadeConfig | None = None
    """None: every token of every document is read."""
