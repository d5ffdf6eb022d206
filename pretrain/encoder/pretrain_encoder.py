"""Pretrains an encoder: tokenizer, token caches, one training run per half, the encoder's folder with its card.

One file to read for the order of the steps. Each half trains on one device; two GPUs train one half each, with
`half=left` and `half=right`, and `half=join` puts them together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from tokensieve.pretrain.encoder.card import card
from tokensieve.pretrain.encoder.checkpoint import Checkpoint, Progress, RunIdentity, last_checkpoint
from tokensieve.pretrain.encoder.config import EncoderConfig, Objective
from tokensieve.pretrain.encoder.corpus import Corpus
from tokensieve.pretrain.encoder.encoder_tokenizer import encoder_tokenizer
from tokensieve.pretrain.encoder.exported import exported_tokens, is_export
from tokensieve.pretrain.encoder.token_cache import cached_tokens
from tokensieve.pretrain.encoder.token_store import TokenStore
from tokensieve.pretrain.encoder.trainer import train
from tokensieve.pretrain.errors import TrainingError
from tokensieve.udfs.bundles.pretrained import PretrainedEncoder
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

VOCABULARY_MULTIPLE = 64  # rows of the embedding, which matrix kernels take faster than odd numbers
_PARTS: dict[str, tuple[Objective, ...]] = {"bilm": ("left", "right"), "masked": ("masked",)}


class UnfinishedError(TrainingError):
    """A half that is to be joined is not trained, or not to its end."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a call did. `encoder_written` is False where one half alone was trained."""

    name: str
    progress: dict[str, Progress]
    parameters: int
    parameters_outside_embedding: int
    encoder_written: bool


def pretrain_encoder(config: EncoderConfig, report: Callable[[str], None] = print) -> Pretrained:
    """Trains what `config.half` asks for and, unless that is one half alone, writes the encoder into `config.out`.

    Finished halves are not trained again, interrupted ones go on.

    Raises:
        DatasetError, ShardError, ManifestError: a source or the tokenizer cannot be read.
        TrainingError: ResumeError, CheckpointError, UnfinishedError, or training went wrong.
    """
    tokenizer = encoder_tokenizer(config, report)
    stores = [_open(config, number, tokenizer, report) for number in range(len(config.sources))]
    for store in stores:
        record = store.record
        report(f"source {store.name}: {record.documents:,} documents, {record.tokens:,} tokens ({record.id})")
    runs = {objective: identity(config, objective, tokenizer, stores) for objective in _PARTS[config.kind]}
    done: dict[str, Progress] = {}
    for objective in config.objectives:
        done[objective] = _train(config, runs[objective], stores, report)
    whole = config.kind == "masked" or config.half in ("both", "join")
    if whole:
        done = _join(config, list(runs.values()), tokenizer, stores, report)
    vocabulary = runs[_PARTS[config.kind][0]].vocabulary
    return Pretrained(
        name=config.name,
        progress=done,
        parameters=len(runs) * config.model.parameters(vocabulary),
        parameters_outside_embedding=len(runs) * config.model.outside_embedding(),
        encoder_written=whole,
    )


def identity(
    config: EncoderConfig, objective: Objective, tokenizer: ByteTokenizer, stores: Sequence[TokenStore]
) -> RunIdentity:
    """What makes the run of one objective this run. Raises TrainingError: the tokenizer has no such mask token."""
    mask_id = _mask_id(config, tokenizer) if objective == "masked" else None
    ids = max(tokenizer.vocab_size, (mask_id or 0) + 1)
    vocabulary = -(-ids // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    return RunIdentity(
        objective=objective,
        seed=config.seed,
        tokenizer_sha256=tokenizer.sha256,
        vocabulary=vocabulary,
        mask_id=mask_id,
        model=config.model,
        context=config.batch.context,
        step_tokens=config.batch.step_tokens,
        steps=config.budget.steps(config.model.parameters(vocabulary), config.batch.step_tokens),
        optimizer=config.optimizer,
        masked=config.masked if objective == "masked" else None,
        sources=tuple((store.record.id, source.share) for store, source in zip(stores, config.sources, strict=True)),
        heldout_share=config.heldout.share,
    )


def _mask_id(config: EncoderConfig, tokenizer: ByteTokenizer) -> int:
    literal = config.masked.token
    if literal is None:
        return tokenizer.vocab_size
    found = tokenizer.token_id(literal)
    if found is None:
        raise TrainingError(f"masked.token {literal!r} is not in {tokenizer.path}; leave it out to add a mask id")
    return found


def _open(config: EncoderConfig, number: int, tokenizer: ByteTokenizer, report: Callable[[str], None]) -> TokenStore:
    source = config.sources[number]
    if is_export(source):
        return exported_tokens(source, tokenizer, config.cache)
    return cached_tokens(source, tokenizer, config.cache, report)


def _train(
    config: EncoderConfig, run: RunIdentity, stores: Sequence[TokenStore], report: Callable[[str], None]
) -> Progress:
    corpus = Corpus(
        stores,
        [source.share for source in config.sources],
        batch=config.batch,
        heldout=config.heldout,
        steps=run.steps,
        seed=run.seed,
    )
    for store, epochs in zip(stores, corpus.schedule.epochs):
        report(f"{run.objective}: {run.steps} steps read source {store.name} {epochs:.2f} times")
    return train(config, run, corpus, config.runs / run.objective, report)


def _join(
    config: EncoderConfig,
    runs: Sequence[RunIdentity],
    tokenizer: ByteTokenizer,
    stores: Sequence[TokenStore],
    report: Callable[[str], None],
) -> dict[str, Progress]:
    finished = {run.objective: _finished(config, run, report) for run in runs}
    state: dict[str, Tensor] = {}
    for objective, found in finished.items():
        prefix = "both" if objective == "masked" else objective
        for name, value in found.weights().items():
            state[f"{prefix}.{name}"] = value[: tokenizer.vocab_size] if name == "embedding.weight" else value
    encoder = PretrainedEncoder(
        config={
            "type": config.kind,
            "vocab_size": tokenizer.vocab_size,  # padding and mask are of no use to who reads text
            **config.model.model_dump(exclude={"layers"}),
            "layers": list(range(1, config.model.layers + 1)),
        },
        state=state,
        tokenizer=tokenizer.path,
        window=config.batch.context,
        margin=config.window_margin,
    )
    encoder.save(config.out)
    progress = {objective: found.progress for objective, found in finished.items()}
    text = card(config, list(runs), progress, [store.record for store in stores])
    (config.out / "README.md").write_text(text, encoding="utf-8")
    report(f"encoder written to {config.out}")
    return progress


def _finished(config: EncoderConfig, run: RunIdentity, report: Callable[[str], None]) -> Checkpoint:
    folder = config.runs / run.objective
    found = last_checkpoint(folder, report)
    if found is None:
        raise UnfinishedError(f"{folder} has no checkpoint: train it with half={run.objective}")
    run.require(found.run, str(found.folder))
    if found.progress.step < run.steps:
        raise UnfinishedError(
            f"{folder} is at step {found.progress.step} of {run.steps}: train on with half={run.objective}"
        )
    return found
