"""Section `score`: how the classifier runs, its cascade, and what a device costs an hour."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tokensieve.udfs.scoring.cascade import Cascade, Sampling

PARTITION_MB = 16


class CascadeConfig(BaseModel):
    """Section `score.cascade`: a few stretches of every document first, a full scan only where they call for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: float = Field(default=0.99, gt=0, lt=1)
    """Share of the forget tokens of a full scan that the thresholds are chosen for."""
    share: float = Field(default=0.06, gt=0, lt=0.5)
    """About how much of a document its stretches hold."""
    stretch: int = Field(default=16, ge=4)
    """Tokens of one stretch."""
    least: int = Field(default=4, ge=1)
    """Stretches of a document at least; a document of which they would be half is scanned at once."""
    documents: int = Field(default=2000, ge=20)
    """Documents of each of the two samples, about."""
    seed: int = 0
    thresholds: dict[str, float] | None = None
    """By policy, the mean probability over the stretches from which on a document is scanned; None: chosen."""

    def probing(self, thresholds: dict[str, float]) -> Cascade:
        """The cascade with these thresholds."""
        return Cascade(
            share=self.share, stretch=self.stretch, least=self.least, thresholds=tuple(sorted(thresholds.items()))
        )

    def sampling(self, documents: int, *, calibrate: bool) -> Sampling:
        """The sample for the thresholds or the one for the check, of a source of so many documents."""
        part = min(0.5, self.documents / max(1, documents))
        first = 0.0 if calibrate else part
        return Sampling(first=first, last=first + part, seed=self.seed, only=calibrate)


class CostConfig(BaseModel):
    """Section `score.cost`, for --dry-run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: int = Field(default=1, ge=1)
    """How many devices score at a time: GPUs, or task slots of a CPU cluster."""
    dollars_per_device_hour: float | None = Field(default=None, ge=0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What scoring takes; dollars None where no price is set. Reading and writing are not in it, nor start-up."""

    device_hours: float
    wall_hours: float
    dollars: float | None


def cost(tokens: float, tokens_per_s: float, config: CostConfig) -> Cost:
    """The cost of so many classifier tokens at so many a second and device."""
    hours = tokens / tokens_per_s / 3_600
    price = config.dollars_per_device_hour
    return Cost(
        device_hours=hours,
        wall_hours=hours / config.devices,
        dollars=None if price is None else hours * price,
    )


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
