"""A source's texts as token ids on disk: written once in our shard format, found again by the hash of its content.

The name is made of the files' bytes, the filter and the tokenizer, so a changed file makes a new cache and the old one
stays until somebody deletes it. The price is that every start reads all source files once to hash them.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.encoder.documents import read_texts, source_files
from tokensieve.pretrain.encoder.token_store import SourceRecord, TokenStore
from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashed_file import file_sha256, replace_file
from tokensieve.pretrain.hashing import content_hashes
from tokensieve.pretrain.shards.shard import ShardReader, ShardWriter, token_dtype
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

FORMAT = "tokensieve-tokens/1"


class CacheError(DatasetError):
    """A token cache is damaged, or is not what its name says."""


def cached_tokens(
    source: SourceConfig, tokenizer: ByteTokenizer, cache: Path, report: Callable[[str], None]
) -> TokenStore:
    """Opens the source's token cache, which is written first where there is none.

    Raises:
        DatasetError: the source cannot be read, or nothing of it is left.
        CacheError, CorruptShardError: the cache is damaged; names its folder.
    """
    files = {path.name: file_sha256(path) for path in source_files(source)}
    name = content_id(source, files, tokenizer.sha256)
    folder = cache / f"tokens-{name}"
    if not folder.is_dir():
        report(f"source {source.name}: tokenising {len(files)} files into {folder}")
        _write(source, tokenizer, files, name, folder)
    return _open(source, tokenizer, name, folder)


def content_id(source: SourceConfig, files: dict[str, str], tokenizer_sha256: str) -> str:
    """16 hex digits that name what a source yields; the files' names and places do not enter, their order does."""
    content = {
        "format": FORMAT,
        "files": [files[name] for name in sorted(files)],
        "sidecar": file_sha256(source.sidecar) if source.sidecar else None,
        "read": source.model_dump(mode="json", exclude={"name", "path", "share", "sidecar"}),
        "tokenizer": tokenizer_sha256,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _write(source: SourceConfig, tokenizer: ByteTokenizer, files: dict[str, str], name: str, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        record = _tokenise(source, tokenizer, files, name, part)
        replace_file(part / "source.json", (record.model_dump_json(indent=2) + "\n").encode())
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was first; its cache has the same content
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _tokenise(
    source: SourceConfig, tokenizer: ByteTokenizer, files: dict[str, str], name: str, folder: Path
) -> SourceRecord:
    counts, licenses, hashes = Counter[str](), Counter[str](), []
    with ShardWriter(folder / "tokens", token_dtype(tokenizer.vocab_size)) as writer:
        for part in read_texts(source):
            tokens = tokenizer.encode(part.texts)
            length_D = np.diff(tokens.bounds_D1)
            full_D = length_D > 0
            writer.add(tokens.ids_T, np.ones(len(tokens.ids_T), np.uint8), length_D[full_D])
            kept = [d for d in range(len(part.texts)) if full_D[d]]
            hashes.append(content_hashes(part.texts[d].encode() for d in kept))
            licenses.update(part.licenses[d] for d in kept)
            without = len(part.texts) - len(kept) - len(tokens.failed)
            counts.update(filtered=part.filtered, empty=part.empty + without, untokenised=len(tokens.failed))
        if not licenses:
            raise DatasetError(f"source {source.name}: no document is left of {source.path}; left out: {dict(counts)}")
        stats = writer.close()
    np.save(folder / "hashes.npy", np.concatenate(hashes), allow_pickle=False)
    return SourceRecord(
        name=source.name,
        id=name,
        tokenizer_sha256=tokenizer.sha256,
        files=files,
        documents=stats.documents,
        tokens=stats.tokens,
        licenses=dict(sorted(licenses.items())),
        **counts,
    )


def _open(source: SourceConfig, tokenizer: ByteTokenizer, name: str, folder: Path) -> TokenStore:
    try:
        record = SourceRecord.model_validate_json((folder / "source.json").read_bytes())
        hash_D = np.load(folder / "hashes.npy", allow_pickle=False)
    except (OSError, ValidationError, ValueError) as error:
        raise CacheError(f"{folder}: not a token cache ({error}); delete this folder and run again") from None
    reader = ShardReader(folder / "tokens")
    found = (record.id, record.tokenizer_sha256, reader.dtype, reader.documents, reader.tokens, hash_D.shape)
    shape = (record.documents,)
    dtype = token_dtype(tokenizer.vocab_size)
    if found != (name, tokenizer.sha256, dtype, record.documents, record.tokens, shape) or hash_D.dtype != np.uint64:
        raise CacheError(
            f"{folder}: its files do not fit together: (id, tokenizer, dtype, documents, tokens, hashes) are {found} "
            f"where {(name, tokenizer.sha256, dtype, record.documents, record.tokens, shape)} belongs; delete this "
            "folder and run again"
        )
    return TokenStore(
        record=record.model_copy(update={"name": source.name}),
        readers=(reader,),
        reader_D=np.zeros(record.documents, np.int64),
        start_D=np.asarray(reader.starts_D, np.int64),
        length_D=np.asarray(reader.lengths_D, np.int64),
        hash_D=hash_D,
        vocabulary=tokenizer.vocab_size,
    )
