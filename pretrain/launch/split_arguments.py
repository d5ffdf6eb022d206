"""What Megatron-LM reads with `--per-split-data-args-path`: the shards of each split and their weights, as JSON.

Explicit prefixes for every split, so Megatron-LM never cuts splits by position. A shard's weight is its number of
samples; in a blend, its source's weight times its share of the source's samples.
"""

import json

from pretrain.samples.corpus import Corpus, CorpusShard, samples_in
from pretrain.shards.manifest import SPLITS


def split_arguments(corpus: Corpus, seq_length: int) -> str:
    """JSON text: `{"train": [weight, prefix, weight, prefix, ...], "valid": ..., "test": ...}`, null without shards."""
    splits = {split: _zipped(corpus.shards(split, seq_length), seq_length) for split in SPLITS}
    return json.dumps(splits, indent=2) + "\n"


def _zipped(shards: list[CorpusShard], seq_length: int) -> list[str] | None:
    pairs = [(_weight(shard, seq_length), str(shard.prefix.absolute())) for shard in shards]
    return [word for pair in pairs for word in pair] or None


def _weight(shard: CorpusShard, seq_length: int) -> str:
    return str(samples_in(shard.info.tokens, seq_length)) if shard.weight is None else repr(shard.weight)
