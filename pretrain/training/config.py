"""What a user may say about a pretraining run: section `pretrain` of the project's YAML.

Needs pydantic only, so that every job can check the whole file. Rates default to the paper's (arXiv 2601.21571);
sizes, batches and the budget have no default: name a preset of `conf/pretrain/`, or give them.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.training.model_config import ModelConfig

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerConfig(_Section):
    """AdamW with linear warm-up and a cosine to `min_lr_ratio * lr` (arXiv 2601.21571)."""

    lr: float = Field(default=3e-3, gt=0)
    min_lr_ratio: Fraction = 0.1
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    clip_grad: float = Field(default=1.0, gt=0)


class ParallelConfig(_Section):
    """How the model is cut over processes; what is left of the world size is data parallel."""

    tensor: Positive = 1
    pipeline: Positive = 1
    distributed_optimizer: bool = False
    """Shard the optimizer's state over data-parallel ranks; needs Transformer Engine or Apex."""


class EvaluationSet(_Section):
    """Text whose loss is measured: a shard folder (None: the run's own), one of its splits, and which labels count."""

    shards: str | None = None
    split: Literal["train", "valid", "test"] = "valid"
    labels: Literal["all", "forget", "retain"] = "all"
    """forget, retain: only labels whose exported mask is 0, or 1."""


class ValidationConfig(_Section):
    """When and on what the run measures its loss besides training."""

    every: Positive | None = None
    """Steps between two measurements; None: only at the end."""
    samples: Positive = 256
    """Samples of each set, the first ones of a fixed order, fewer where the set is smaller."""
    sets: dict[str, EvaluationSet] | None = None
    """None: `forget` and `retain` of the run's split `valid`, where the shards have one."""


class CheckpointConfig(_Section):
    """Checkpoints lie in `<out>/checkpoints/step-N`; one without its marker file is not complete and never read."""

    every: Positive | None = None
    """Steps between two checkpoints; None: only on SIGTERM and at the end."""
    keep_last: Positive = 2


class PretrainConfig(_Section):
    """Section `pretrain`. The budget is one of `steps`, `tokens`, `tokens_per_parameter`; `budget_counts` says which
    tokens are counted. `preset` names a file of `conf/pretrain/` whose keys stand wherever this section is silent."""

    preset: str | None = None
    seq_length: Positive
    micro_batch_size: Positive
    global_batch_size: Positive
    model: ModelConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    parallel: ParallelConfig = ParallelConfig()
    filter: FilterConfig = FilterConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    steps: Positive | None = None
    tokens: Positive | None = None
    tokens_per_parameter: float | None = Field(default=None, gt=0)
    budget_counts: Literal["unmasked", "total"] = "unmasked"
    epochs_allowed: Positive = 1
    shards: str | None = None
    """A shard folder, or a folder with a blend.json; None: the shards of the configured tables."""
    manifest: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    """The id of the shard folder's manifest that is trained on; None: the newest, for a run that has begun its own."""
    out: str | None = None
    """The run's folder; None: `<tables.root>/pretrain`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on cuda, fp32 on cpu
    loader_workers: int = Field(default=0, ge=0)
    """Processes that fetch samples; 0 fetches between steps, which costs about 0.1 ms a sample."""
    tensorboard: bool = False
    peak_flops: float | None = Field(default=None, gt=0)
    """Of one device in the run's precision, for MFU; None: known for some GPUs (`pretrain.training.records`)."""
    seed: int = Field(default=0, ge=0)
    log_every: Positive = 10

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = {name: getattr(self, name) for name in ("steps", "tokens", "tokens_per_parameter")}
        if sum(value is not None for value in given.values()) != 1:
            raise ValueError(f"give exactly one of steps, tokens and tokens_per_parameter (given: {given})")
        return self
