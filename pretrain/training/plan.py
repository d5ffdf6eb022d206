"""What a training run will do with these shards, and every reason why it cannot, before anything is started.

Reads manifests and the tokenizer file only: no torch, no megatron-core, so it runs anywhere in a second.
Traded away: a budget of loss-bearing tokens is turned into steps by the corpus's average share, since the
learning-rate schedule needs the number of steps at the start.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.samples.corpus import Corpus, samples_in
from tokensieve.pretrain.samples.filter_decisions import loss_tokens, score_level
from tokensieve.pretrain.shards.shard import SUFFIXES, shard_file
from tokensieve.pretrain.training.config import PretrainConfig


class PlanError(ValueError):
    """The run cannot be done; `reasons` holds every reason with its numbers."""

    def __init__(self, shards: Path, reasons: list[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{shards}: cannot pretrain on these shards:\n" + "\n".join(f"- {r}" for r in reasons))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that can be done. Token counts are labels: one sample has `seq_length` of them."""

    corpus_id: str
    steps: int
    samples: int
    samples_per_epoch: int
    epochs: float
    tokens: int
    loss_tokens_expected: int
    filter_from_step: int
    score_level: int | None
    unreachable_tokens: int
    parameters: int
    flops: float
    padded_vocab_size: int
    data_parallel: int

    def lines(self) -> list[str]:
        """The plan for a terminal, one fact a line."""
        share = self.loss_tokens_expected / self.tokens
        delay = f", filter from step {self.filter_from_step:,}" if self.filter_from_step else ""
        level = "" if self.score_level is None else f", score level {self.score_level} of 256"
        return [
            f"corpus            {self.corpus_id}",
            f"parameters        {self.parameters:,}",
            f"steps             {self.steps:,}",
            f"samples           {self.samples:,} ({self.epochs:.2f} epochs of {self.samples_per_epoch:,})",
            f"tokens            {self.tokens:,}",
            f"loss-bearing      {self.loss_tokens_expected:,} expected ({share:.1%}){delay}{level}",
            f"never reached     {self.unreachable_tokens:,} tokens an epoch, at the ends of shards",
            f"compute           {self.flops:.2e} FLOPs (6 x parameters x tokens)",
            f"processes         {self.data_parallel} data-parallel",
        ]


def plan(config: PretrainConfig, shards: Path, *, world_size: int = 1) -> Plan:
    """Work out the run. Raises PlanError with every reason against it, ManifestError without a manifest."""
    corpus = Corpus.load(shards, config.manifest)
    usable = corpus.shards("train", config.seq_length)
    reasons = _tokenizer_reasons(corpus) + _missing_files(corpus, config) + _cut_reasons(config, corpus, world_size)
    per_epoch = corpus.samples_per_epoch(config.seq_length)
    if not per_epoch:
        longest = max((shard.tokens for _, m in corpus.manifests for shard in m.shards_of("train")), default=0)
        reasons.append(
            f"no shard holds one sample: seq_length {config.seq_length} needs {config.seq_length + 1} "
            f"tokens, the largest shard has {longest}; lower seq_length or export more"
        )
        raise PlanError(shards, reasons)
    try:
        level = score_level(config.filter, corpus)
    except DatasetError as error:
        raise PlanError(shards, [*reasons, str(error)]) from None
    share = _share(corpus, config, level)
    if share == 0:
        tokens = sum(shard.info.tokens for shard in usable)
        raise PlanError(shards, [*reasons, f"none of the {tokens} tokens bears loss; loosen the rule"])
    parameters = config.model.parameters(corpus.tokenizer.padded_vocab_size)
    steps, filter_from = _steps(config, share, parameters)
    samples = steps * config.global_batch_size
    if samples > per_epoch * config.epochs_allowed:
        reasons.append(_too_short(config, corpus, steps, per_epoch))
    if reasons:
        raise PlanError(shards, reasons)
    tokens = samples * config.seq_length
    reached = sum(samples_in(shard.info.tokens, config.seq_length) for shard in usable) * config.seq_length
    unfiltered = filter_from / steps
    return Plan(
        corpus_id=corpus.id,
        steps=steps,
        samples=samples,
        samples_per_epoch=per_epoch,
        epochs=samples / per_epoch,
        tokens=tokens,
        loss_tokens_expected=round(tokens * (unfiltered + share * (1 - unfiltered))),
        filter_from_step=filter_from,
        score_level=level,
        unreachable_tokens=sum(s.tokens for _, m in corpus.manifests for s in m.shards_of("train")) - reached,
        parameters=parameters,
        flops=6.0 * parameters * tokens,
        padded_vocab_size=corpus.tokenizer.padded_vocab_size,
        data_parallel=world_size // (config.parallel.tensor * config.parallel.pipeline),
    )


def _share(corpus: Corpus, config: PretrainConfig, level: int | None) -> float:
    """Expected share of loss-bearing tokens under the filter, weighted as a blend is."""
    usable = corpus.shards("train", config.seq_length)
    total = sum(shard.info.tokens for shard in usable)
    return sum(
        loss_tokens(one.info, config.filter, level)
        / one.info.tokens
        * (one.info.tokens / total if one.weight is None else one.weight)
        for one in usable
    )


def _steps(config: PretrainConfig, share: float, parameters: int) -> tuple[int, int]:
    """Steps of the run, and the step from which the filter applies."""
    fraction = config.filter.from_fraction or 0.0
    batch, wanted = config.global_batch_size * config.seq_length, config.tokens
    if config.tokens_per_parameter is not None:
        wanted = ceil(config.tokens_per_parameter * parameters)
    if config.steps is not None:
        steps = config.steps
    elif config.budget_counts == "total" or config.filter.mode == "none":
        steps = ceil((wanted or 0) / batch)
    elif config.filter.from_step:
        before = min(config.filter.from_step, ceil((wanted or 0) / batch))
        steps = before + ceil(max((wanted or 0) - before * batch, 0) / (batch * share))
    else:
        steps = ceil((wanted or 0) / (batch * (fraction + share * (1 - fraction))))
    from_step = config.filter.from_step if config.filter.from_step is not None else round(fraction * steps)
    return steps, 0 if config.filter.mode == "none" else min(from_step, steps)


def _too_short(config: PretrainConfig, corpus: Corpus, steps: int, per_epoch: int) -> str:
    samples = steps * config.global_batch_size
    tokens = sum(shard.tokens for _, manifest in corpus.manifests for shard in manifest.shards_of("train"))
    source = "the mix" if corpus.blend else "these shards"
    return (
        f"{steps} steps of {config.global_batch_size} samples need {samples} samples "
        f"({samples * config.seq_length} tokens), but {config.epochs_allowed} epochs of {source} give "
        f"{per_epoch * config.epochs_allowed} ({tokens} tokens in the manifest); "
        f"set epochs_allowed to {ceil(samples / per_epoch)}, lower the budget, or export more"
    )


def _cut_reasons(config: PretrainConfig, corpus: Corpus, world_size: int) -> list[str]:
    """Why batch, model or vocabulary cannot be cut over so many processes."""
    tensor, pipeline = config.parallel.tensor, config.parallel.pipeline
    if world_size % (tensor * pipeline):
        return [f"{world_size} processes are not a multiple of tensor {tensor} x pipeline {pipeline}"]
    reasons = []
    data = world_size // (tensor * pipeline)
    together = config.micro_batch_size * data
    if config.global_batch_size % together:
        reasons.append(
            f"global_batch_size {config.global_batch_size} is not a multiple of micro_batch_size "
            f"{config.micro_batch_size} x {data} processes = {together}"
        )
    vocabulary = corpus.tokenizer.padded_vocab_size
    return reasons + config.model.split_reasons(tensor=tensor, pipeline=pipeline, padded_vocab_size=vocabulary)


def _missing_files(corpus: Corpus, config: PretrainConfig) -> list[str]:
    """Files of shards that are not there; of the scores only where the run reads them."""
    missing = [
        path
        for place, manifest in corpus.manifests
        for shard in manifest.shards
        for suffix in (shard.suffixes if config.filter.uses_scores else SUFFIXES)
        if not (path := shard_file(place / shard.prefix, suffix)).is_file()
    ]
    return [f"{path} is missing; export again, or copy the shard set whole" for path in missing]


def _tokenizer_reasons(corpus: Corpus) -> list[str]:
    reasons, tokenizer, path = [], corpus.tokenizer, corpus.tokenizer_file
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
