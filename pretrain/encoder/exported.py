"""Exported Megatron shards as a source: the same token ids that a pretraining run reads.

The loss mask is not read: an encoder has to know what its classifier will be asked to find. For the same reason shards
in which tokens are hidden are refused. Documents lose their end-of-document token, which scoring never adds.
"""

from pathlib import Path

import numpy as np

from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.encoder.token_store import SourceRecord, TokenStore
from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashing import content_hashes
from tokensieve.pretrain.shards.manifest import FILE_NAME, Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def is_export(source: SourceConfig) -> bool:
    """True when the source's path is a folder of exported shards."""
    return (Path(source.path) / FILE_NAME).is_file()


def exported_tokens(source: SourceConfig, tokenizer: ByteTokenizer, cache: Path) -> TokenStore:
    """Opens the shards that a manifest lists; content hashes are computed once and kept in `cache`.

    Raises:
        DatasetError: another tokenizer, hidden tokens, a filter (shards have no columns), no document with text.
        ManifestError, CorruptShardError: the export is damaged.
    """
    folder = Path(source.path)
    manifest = Manifest.load(folder)
    _check(source, manifest, tokenizer)
    readers = tuple(ShardReader(folder / shard.prefix) for shard in manifest.shards)
    for reader in readers:
        _check_ends(source, reader, manifest)
    length_D = np.concatenate([reader.lengths_D.astype(np.int64) for reader in readers]) - 1
    reader_D = np.repeat(np.arange(len(readers)), [reader.documents for reader in readers])
    start_D = np.concatenate([np.asarray(reader.starts_D, np.int64) for reader in readers])
    full_D = length_D > 0
    if not full_D.any():
        raise DatasetError(f"source {source.name}: no document of {folder} has a token before its end")
    hash_D = _hashes(source, manifest, readers, cache)
    record = SourceRecord(
        name=source.name,
        id=manifest.id,
        tokenizer_sha256=tokenizer.sha256,
        files={f"{shard.prefix}.bin": shard.sha256[".bin"] for shard in manifest.shards},
        documents=int(full_D.sum()),
        tokens=int(length_D.sum()),
        empty=int((~full_D).sum()),
        licenses={source.license or "not stated": int(full_D.sum())},
    )
    return TokenStore(
        record=record,
        readers=readers,
        reader_D=reader_D[full_D],
        start_D=start_D[full_D],
        length_D=length_D[full_D],
        hash_D=hash_D[full_D],
        vocabulary=tokenizer.vocab_size,
    )


def _check(source: SourceConfig, manifest: Manifest, tokenizer: ByteTokenizer) -> None:
    if source.where or source.unless or source.sidecar or source.license_column:
        raise DatasetError(
            f"source {source.name}: shards have no columns: where, unless, sidecar are for Parquet files"
        )
    if manifest.tokenizer.sha256 != tokenizer.sha256:
        raise DatasetError(
            f"source {source.name}: {source.path} was tokenised with {manifest.tokenizer.file} "
            f"({manifest.tokenizer.sha256[:16]}), the encoder's tokenizer is {tokenizer.path} "
            f"({tokenizer.sha256[:16]}); use the shards' own tokenizer, or read the texts"
        )


def _check_ends(source: SourceConfig, reader: ShardReader, manifest: Manifest) -> None:
    last_D = reader.ids_T[np.asarray(reader.starts_D) + reader.lengths_D - 1]
    if (last_D != manifest.tokenizer.eod).any():
        where = int(np.argmax(last_D != manifest.tokenizer.eod))
        raise DatasetError(
            f"source {source.name}: document {where} of {reader.prefix} ends with id {last_D[where]}, "
            f"not with the end-of-document id {manifest.tokenizer.eod}"
        )
    hidden = int(np.count_nonzero(reader.ids_T == manifest.tokenizer.hidden_id))
    if hidden:
        raise DatasetError(
            f"source {source.name}: {hidden} tokens of {reader.prefix} are hidden; an encoder that never read them "
            "cannot find them: export with action mask, or read the texts"
        )


def _hashes(source: SourceConfig, manifest: Manifest, readers: tuple[ShardReader, ...], cache: Path) -> np.ndarray:
    file = cache / f"hashes-{manifest.id}.npy"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        contents = (reader.ids(d)[:-1].astype("<i4").tobytes() for reader in readers for d in range(reader.documents))
        part = file.with_name(f".{file.name}.npy")
        np.save(part, content_hashes(contents), allow_pickle=False)
        part.replace(file)
    hash_D = np.load(file, allow_pickle=False)
    if hash_D.dtype != np.uint64 or len(hash_D) != manifest.documents:
        raise DatasetError(
            f"source {source.name}: {file} holds {len(hash_D)} hashes for {manifest.documents} documents; delete it"
        )
    return hash_D
