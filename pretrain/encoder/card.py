"""The card of a pretrained encoder, README.md in its folder: data, losses, licences, and how to make it again."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from tokensieve.pretrain.encoder.checkpoint import Progress, RunIdentity
from tokensieve.pretrain.encoder.config import EncoderConfig
from tokensieve.pretrain.encoder.token_store import SourceRecord

_WHAT = {
    "bilm": "two causal transformers, one reading forward and one backward, trained apart to predict the next token",
    "masked": "one bidirectional transformer, trained to fill in masked tokens",
}


def card(
    config: EncoderConfig,
    runs: Sequence[RunIdentity],
    progress: Mapping[str, Progress],
    records: Sequence[SourceRecord],
) -> str:
    """The card in Markdown, from records alone."""
    run, shape = runs[0], config.model
    return f"""# {config.name}

A pretrained encoder of kind `{config.kind}`: {_WHAT[config.kind]}. Made by
`tokensieve pretrain encoder` with the configuration below; a classifier is fitted on it with `tokensieve fit`.

* Shape of each transformer: {shape.layers} layers, width {shape.dim}, {shape.heads} heads, feed-forward {shape.hidden};
  {shape.outside_embedding():,} parameters outside the embedding, {shape.parameters(run.vocabulary):,} with it.
* Tokenizer: SHA-256 `{run.tokenizer_sha256}`. Context {run.context} tokens.
* No text of a document is seen from another one; held-out documents ({config.heldout.share:.1%} by content hash) were
  never trained on.

## Training

| objective | steps | tokens | minutes | {" | ".join(f"held-out loss, {record.name}" for record in records)} |
|---|---:|---:|---:|{"---:|" * len(records)}
{chr(10).join(_row(objective, progress[objective], records) for objective in progress)}

Losses are mean cross-entropies in nats a target; the losses of the two halves of a biLM may be compared, those of other
tokenizers may not.

## Data

| source | share of tokens | documents | tokens | left out by filter | without text | not tokenised | id |
|---|---:|---:|---:|---:|---:|---:|---|
{chr(10).join(_source(record, share) for record, (_, share) in zip(records, run.sources))}

| licence | documents |
|---|---:|
{chr(10).join(f"| {name} | {count:,} |" for name, count in _licenses(records))}

Source files by SHA-256:

{chr(10).join(f"* {record.name}: {_files(record)}" for record in records)}

## Configuration

```json
{json.dumps(config.model_dump(mode="json"), indent=1)}
```
"""


def _row(objective: str, done: Progress, records: Sequence[SourceRecord]) -> str:
    losses = " | ".join(f"{done.heldout[record.name]:.4f}" for record in records)
    return f"| {objective} | {done.step:,} | {done.tokens:,} | {done.seconds / 60:.1f} | {losses} |"


def _source(record: SourceRecord, share: float) -> str:
    return (
        f"| {record.name} | {share:.0%} | {record.documents:,} | {record.tokens:,} | {record.filtered:,} | "
        f"{record.empty:,} | {record.untokenised:,} | `{record.id}` |"
    )


def _licenses(records: Sequence[SourceRecord]) -> list[tuple[str, int]]:
    total = Counter[str]()
    for record in records:
        total.update(record.licenses)
    return sorted(total.items())


def _files(record: SourceRecord) -> str:
    return ", ".join(f"{name} `{digest[:16]}`" for name, digest in sorted(record.files.items()))
