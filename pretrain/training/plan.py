"""What a training run will do with these shards, and every reason why it cannot, before anything is started.

Reads the manifest and the tokenizer file only: no torch, no megatron-core, so it runs anywhere in a second.
Traded away: a budget of loss-bearing tokens is turned into steps by the corpus's average share, since the
learning-rate schedule needs the number of steps at the start.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pretrain.hashed_file import file_sha256
from pretrain.shards.manifest import Manifest, TokenizerInfo, inside
from pretrain.training.config import PretrainConfig


class PlanError(ValueError):
    """The run cannot be done; `reasons` holds every reason with its numbers."""

    def __init__(self, shards: Path, reasons: list[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{shards}: cannot pretrain on these shards:\n" + "\n".join(f"- {r}" for r in reasons))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that can be done. Token counts are labels: one sample has `seq_length` of them."""

    manifest_id: str
    steps: int
    samples: int
    samples_per_epoch: int
    epochs: float
    tokens: int
    loss_tokens_expected: int
    unreachable_tokens: int
    parameters: int
    flops: float
    padded_vocab_size: int

    def lines(self) -> list[str]:
        """The plan for a terminal, one fact a line."""
        share = self.loss_tokens_expected / self.tokens
        return [
            f"manifest          {self.manifest_id}",
            f"parameters        {self.parameters:,}",
            f"steps             {self.steps:,}",
            f"samples           {self.samples:,} ({self.epochs:.2f} epochs of {self.samples_per_epoch:,})",
            f"tokens            {self.tokens:,}",
            f"loss-bearing      {self.loss_tokens_expected:,} expected ({share:.1%})",
            f"never reached     {self.unreachable_tokens:,} tokens an epoch, at the ends of shards",
            f"compute           {self.flops:.2e} FLOPs (6 x parameters x tokens)",
        ]


def samples_in(tokens: int, seq_length: int) -> int:
    """Samples that Megatron cuts from one shard in one epoch; a sample needs one token beyond its length."""
    return max(0, (tokens - 1) // seq_length)


def plan(config: PretrainConfig, shards: Path, *, world_size: int = 1) -> Plan:
    """Work out the run. Raises PlanError with every reason against it, ManifestError without a manifest."""
    manifest = Manifest.load(shards)
    reasons = _tokenizer_reasons(manifest.tokenizer, shards) + _batch_reasons(config, world_size)
    per_epoch = sum(samples_in(shard.tokens, config.seq_length) for shard in manifest.shards)
    if not per_epoch:
        longest = max((shard.tokens for shard in manifest.shards), default=0)
        reasons.append(
            f"no shard holds one sample: seq_length {config.seq_length} needs {config.seq_length + 1} "
            f"tokens, the largest shard has {longest}; lower seq_length or export more"
        )
        raise PlanError(shards, reasons)
    share = manifest.loss_tokens / manifest.tokens if config.filter.mode != "none" else 1.0
    if share == 0:
        raise PlanError(shards, [*reasons, f"none of the {manifest.tokens} tokens bears loss; loosen the rule"])
    steps = _steps(config, share)
    samples = steps * config.global_batch_size
    if samples > per_epoch * config.epochs_allowed:
        reasons.append(_too_short(config, manifest, steps, per_epoch))
    if reasons:
        raise PlanError(shards, reasons)
    tokens = samples * config.seq_length
    parameters = config.model.parameters(manifest.tokenizer.padded_vocab_size)
    return Plan(
        manifest_id=manifest.id,
        steps=steps,
        samples=samples,
        samples_per_epoch=per_epoch,
        epochs=samples / per_epoch,
        tokens=tokens,
        loss_tokens_expected=round(tokens * share),
        unreachable_tokens=manifest.tokens - per_epoch * config.seq_length,
        parameters=parameters,
        flops=6.0 * parameters * tokens,
        padded_vocab_size=manifest.tokenizer.padded_vocab_size,
    )


def _steps(config: PretrainConfig, share: float) -> int:
    if config.steps is not None:
        return config.steps
    counted = share if config.budget_counts == "unmasked" else 1.0
    return ceil((config.tokens or 0) / (config.global_batch_size * config.seq_length * counted))


def _too_short(config: PretrainConfig, manifest: Manifest, steps: int, per_epoch: int) -> str:
    samples = steps * config.global_batch_size
    return (
        f"{steps} steps of {config.global_batch_size} samples need {samples} samples "
        f"({samples * config.seq_length} tokens), but {config.epochs_allowed} epochs of these shards give "
        f"{per_epoch * config.epochs_allowed} ({manifest.tokens} tokens in the manifest); "
        f"set epochs_allowed to {ceil(samples / per_epoch)}, lower the budget, or export more"
    )


def _batch_reasons(config: PretrainConfig, world_size: int) -> list[str]:
    together = config.micro_batch_size * world_size
    if config.global_batch_size % together == 0:
        return []
    return [
        f"global_batch_size {config.global_batch_size} is not a multiple of micro_batch_size "
        f"{config.micro_batch_size} x {world_size} processes = {together}"
    ]


def _tokenizer_reasons(tokenizer: TokenizerInfo, shards: Path) -> list[str]:
    reasons = []
    path = inside(shards, tokenizer.file)
    if not path.is_file():
        reasons.append(f"tokenizer file {path} is missing; export again")
    elif (found := file_sha256(path)) != tokenizer.sha256:
        reasons.append(f"tokenizer file {path} has sha256 {found}, the manifest says {tokenizer.sha256}")
    rows = tokenizer.padded_vocab_size
    if tokenizer.vocab_size > rows:
        reasons.append(f"vocabulary of {tokenizer.vocab_size} ids but the padded vocabulary is {rows}")
    for name in ("eod", "hidden_id"):
        value = getattr(tokenizer, name)
        if value >= rows:
            reasons.append(f"{name} {value} is outside the padded vocabulary of {rows}")
    return reasons
