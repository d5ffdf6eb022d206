"""The arguments of Megatron-LM's `pretrain_gpt.py` (tag core_v0.16.1) that make it train the run of section `pretrain`.

What that version has no argument for is refused by name. Same model, schedule and loss as our own loop; not the same
order of samples, and initial weights drawn on the GPU. A test compares every name with that version's parser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokensieve.pretrain.errors import LaunchError
from tokensieve.pretrain.launch.config import MegatronLmConfig
from tokensieve.pretrain.samples.corpus import Corpus, samples_in
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.pretrain.training.plan import Plan

VERSION = "0.16.1"


@dataclass(frozen=True, kw_only=True)
class MegatronLmPaths:
    """Files and folders of a run, absolute. `splits` is the JSON that names the shards of every split."""

    out: Path
    splits: Path
    index_cache: Path


def megatron_lm_arguments(
    config: PretrainConfig, options: MegatronLmConfig, todo: Plan, corpus: Corpus, paths: MegatronLmPaths
) -> list[str]:
    """One string for an option or a value. Raises LaunchError with everything that cannot be said to Megatron-LM."""
    reasons = refusals(config)
    words = [
        *_model(config.model, config.seq_length),
        *_vocabulary(todo.padded_vocab_size),
        *_optimizer(config, todo.steps),
        *_run(config),
        *_data(config, todo, corpus, paths),
        *_checkpoints(config, todo.steps, paths.out),
        *_kernels(config.model, options),
    ]
    names = {word for word in words if word.startswith("--")}
    reasons += [
        f"launch.megatron_lm.extra: {word} is derived from section pretrain; change it there"
        for word in (one.split("=")[0] for one in options.extra)
        if word in names
    ]
    if reasons:
        raise LaunchError("driver megatron-lm cannot start this run:\n" + "\n".join(f"- {one}" for one in reasons))
    return [*words, *options.extra]


def refusals(config: PretrainConfig) -> list[str]:
    """What this version of Megatron-LM cannot be told, each with what to do instead."""
    model, reasons = config.model, []
    if model.mup:
        reasons.append(
            f"pretrain.model.mup: Megatron-LM {VERSION} has no muP; set it to null, or use driver tokensieve"
        )
    if config.parallel.distributed_optimizer and model.kernels == "local":
        reasons.append(
            "pretrain.parallel.distributed_optimizer: its checkpoints cannot be resumed without Transformer Engine; "
            "set pretrain.model.kernels to transformer_engine"
        )
    if not config.seed:
        reasons.append("pretrain.seed: Megatron-LM refuses 0; set it to 1 or more")
    if config.validation.sets:
        reasons.append(
            f"pretrain.validation.sets ({', '.join(config.validation.sets)}): Megatron-LM measures the split valid "
            "only; remove them, and measure the checkpoints afterwards"
        )
    return reasons


def notes(config: PretrainConfig) -> list[str]:
    """What works otherwise than in our own loop, a line each."""
    found = [
        f"checkpoint.keep_last {config.checkpoint.keep_last} does not apply: Megatron-LM keeps every checkpoint",
        "validation loss is that of the labels which the filter leaves, of split valid",
    ]
    if config.budget_counts == "unmasked" and config.steps is None:
        found.append("the budget of unmasked tokens is an expectation, as `pretrain plan` prints it")
    return found


def _model(model: ModelConfig, seq_length: int) -> Iterator[str]:
    yield from ("--num-layers", str(model.layers))
    yield from ("--hidden-size", str(model.hidden_size))
    yield from ("--ffn-hidden-size", str(model.ffn))
    yield from ("--num-attention-heads", str(model.heads))
    if model.query_groups != model.heads:
        yield from ("--group-query-attention", "--num-query-groups", str(model.query_groups))
    yield "--swiglu" if model.gated else "--squared-relu"
    yield from ("--normalization", "RMSNorm")
    yield "--disable-bias-linear"
    yield from ("--attention-dropout", "0.0", "--hidden-dropout", "0.0")
    yield from ("--position-embedding-type", model.position)
    if model.position == "rope":
        yield from ("--rotary-base", str(model.rope_base))
    if not model.tie_embeddings:
        yield "--untie-embeddings-and-output-weights"
    yield from ("--init-method-std", repr(model.init_std))
    yield from ("--seq-length", str(seq_length), "--max-position-embeddings", str(seq_length))


def _vocabulary(padded_vocab_size: int) -> Iterator[str]:
    """Rows of the embedding; the shards hold ids already, so no tokenizer is needed. NullTokenizer adds an id."""
    yield from ("--tokenizer-type", "NullTokenizer", "--vocab-size", str(padded_vocab_size - 1))
    yield from ("--padded-vocab-size", str(padded_vocab_size))


def _optimizer(config: PretrainConfig, steps: int) -> Iterator[str]:
    """The same curve as `pretrain.training.optimizer.build_scheduler`: no step at a rate of 0."""
    optimizer = config.optimizer
    warmup = min(round(optimizer.warmup_fraction * steps), steps - 1)
    yield from ("--optimizer", "adam")
    yield from ("--lr", repr(optimizer.lr), "--min-lr", repr(optimizer.lr * optimizer.min_lr_ratio))
    yield from ("--lr-decay-style", "cosine", "--lr-decay-iters", str(steps))
    if warmup:
        yield from ("--lr-warmup-iters", str(warmup), "--lr-warmup-init", repr(optimizer.lr / warmup))
    yield from ("--weight-decay", repr(optimizer.weight_decay))
    yield from ("--adam-beta1", repr(optimizer.beta1), "--adam-beta2", repr(optimizer.beta2))
    yield from ("--adam-eps", repr(optimizer.eps), "--clip-grad", repr(optimizer.clip_grad))
    yield from ("--train-iters", str(steps))


def _run(config: PretrainConfig) -> Iterator[str]:
    yield from ("--micro-batch-size", str(config.micro_batch_size))
    yield from ("--global-batch-size", str(config.global_batch_size))
    yield "--calculate-per-token-loss"  # each loss-bearing token of the global batch weighs the same
    yield from ("--tensor-model-parallel-size", str(config.parallel.tensor))
    yield from ("--pipeline-model-parallel-size", str(config.parallel.pipeline))
    if config.parallel.distributed_optimizer:
        yield "--use-distributed-optimizer"
    if config.precision != "fp32":
        yield "--bf16"
    yield from ("--seed", str(config.seed), "--log-interval", str(config.log_every))


def _data(config: PretrainConfig, todo: Plan, corpus: Corpus, paths: MegatronLmPaths) -> Iterator[str]:
    yield from ("--per-split-data-args-path", str(paths.splits))
    yield from ("--data-cache-path", str(paths.index_cache))
    yield "--no-create-attention-mask-in-dataloader"
    yield from ("--num-workers", str(config.loader_workers))
    valid = sum(samples_in(one.info.tokens, config.seq_length) for one in corpus.shards("valid", config.seq_length))
    batches = max(1, min(config.validation.samples, valid) // config.global_batch_size) if valid else 0
    yield from ("--eval-iters", str(batches))
    yield from ("--eval-interval", str(config.validation.every or todo.steps + 1))  # it measures at the end in any case


def _checkpoints(config: PretrainConfig, steps: int, out: Path) -> Iterator[str]:
    folder = str(out / "megatron-lm")
    yield from ("--save", folder, "--load", folder)
    yield from ("--save-interval", str(config.checkpoint.every or steps))
    yield from ("--ckpt-format", "torch_dist")
    yield "--exit-signal-handler"  # SIGTERM saves and ends
    if config.tensorboard:
        yield from ("--tensorboard-dir", str(out / "tensorboard"))


def _kernels(model: ModelConfig, options: MegatronLmConfig) -> Iterator[str]:
    yield from ("--transformer-impl", model.kernels, "--attention-backend", options.attention_backend)
    if model.kernels == "local":
        # What these fuse comes with Apex or Transformer Engine.
        yield from ("--no-persist-layer-norm", "--no-gradient-accumulation-fusion", "--no-masked-softmax-fusion")
        yield from ("--no-bias-dropout-fusion", "--no-rope-fusion")
        yield "--no-bias-swiglu-fusion" if model.gated else "--no-bias-gelu-fusion"
