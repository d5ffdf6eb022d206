"""Trains the classifier's own byte-level BPE tokenizer on its training documents.

A small vocabulary keeps the embedding, most of a tiny model, small. Byte-level, so every text can be tokenised and byte
lengths come from a table.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def train_vocabulary(texts: Iterable[str], size: int, path: Path) -> Path:
    """Writes a `tokenizer.json` with at most `size` tokens (at least the 256 bytes) to `path` and returns it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return path
