"""The encoder's tokenizer: a given file, or a byte-level BPE trained on the sources, named by what it was made of."""

import hashlib
import heapq
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tokensieve.pretrain.encoder.config import EncoderConfig, SourceConfig, VocabularyConfig
from tokensieve.pretrain.encoder.documents import read_texts, source_files
from tokensieve.pretrain.encoder.exported import is_export
from tokensieve.pretrain.encoder.token_cache import content_id
from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.hashing import below, content_hashes, mixed
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer
from tokensieve.udfs.tokenizing.train_bpe import train_vocabulary


def encoder_tokenizer(config: EncoderConfig, report: Callable[[str], None]) -> ByteTokenizer:
    """Loads `config.tokenizer`, or the vocabulary that `config.vocabulary` describes, trained once.

    Raises:
        DatasetError: no such file, no tokenizer in it, or a source that cannot be learned from.
    """
    path = config.tokenizer or (config.vocabulary and _trained(config, config.vocabulary, report))
    try:
        return ByteTokenizer.load(path or "")
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(f"tokenizer: {error}") from error


def _trained(config: EncoderConfig, vocabulary: VocabularyConfig, report: Callable[[str], None]) -> Path:
    for source in config.sources:
        if is_export(source):
            raise DatasetError(f"source {source.name}: shards have a tokenizer already; give it as `tokenizer`")
    content = {
        "vocabulary": vocabulary.model_dump(mode="json"),
        "heldout": config.heldout.share,
        "sources": [
            content_id(source, {path.name: file_sha256(path) for path in source_files(source)}, "")
            for source in config.sources
        ],
    }
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    path = config.cache / f"tokenizer-{name}.json"
    if not path.is_file():
        report(f"training a vocabulary of {vocabulary.size} tokens into {path}")
        config.cache.mkdir(parents=True, exist_ok=True)
        count, share = vocabulary.documents, config.heldout.share
        texts = (text for source in config.sources for text in _sample(source, count, share))
        part = path.with_name(f".{path.name}.{os.getpid()}")
        train_vocabulary(texts, vocabulary.size, part).replace(path)
    return path


def _sample(source: SourceConfig, count: int, heldout: float) -> list[str]:
    """Up to so many documents that are not held out, the same whatever the order of the files."""
    chosen = heapq.nsmallest(count, _training_texts(source, heldout))
    return [text for _, text in chosen]


def _training_texts(source: SourceConfig, heldout: float) -> Iterator[tuple[int, str]]:
    for part in read_texts(source):
        hash_D = content_hashes(text.encode() for text in part.texts)
        for order, kept_out, text in zip(mixed(hash_D).tolist(), below(hash_D, heldout).tolist(), part.texts):
            if not kept_out:
                yield order, text
