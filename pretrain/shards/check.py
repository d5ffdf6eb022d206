"""What a batch of documents must be to become part of a shard; every refusal names the shard and the document."""

from pathlib import Path

import numpy as np

from tokensieve.pretrain.shards.megatron_index import ShardError

MAX_LENGTH = 2**31 - 1  # Megatron keeps sequence lengths and sequence numbers as int32


class TokenIdError(ShardError):
    """A token id does not fit the shard's dtype."""


class MaskLengthError(ShardError):
    """Token ids, loss mask and lengths do not describe the same tokens, or a mask value is not 0 or 1."""


class EmptyDocumentError(ShardError):
    """A document without tokens, or a shard without documents: Megatron can read neither."""


class DocumentTooLongError(ShardError):
    """A document (or the count of documents) passes Megatron's int32 limit."""


def check_lengths(prefix: Path, before: int, ids_T: np.ndarray, mask_T: np.ndarray, lengths_D: np.ndarray) -> None:
    """Ids, mask and lengths of D documents, which follow `before` others of the shard, describe the same tokens.

    Raises MaskLengthError, EmptyDocumentError, DocumentTooLongError.
    """
    if ids_T.shape != mask_T.shape or ids_T.ndim != 1:
        raise MaskLengthError(f"{prefix}: token ids {ids_T.shape} but loss mask {mask_T.shape}")
    if lengths_D.shape[0] and int(lengths_D.min()) < 1:
        where = before + int(np.argmax(lengths_D < 1))
        raise EmptyDocumentError(f"{prefix}: document {where} has no tokens; it must at least hold eod")
    if lengths_D.shape[0] and int(lengths_D.max()) > MAX_LENGTH:
        where = int(np.argmax(lengths_D > MAX_LENGTH))
        raise DocumentTooLongError(
            f"{prefix}: document {before + where} has {lengths_D[where]} tokens; the limit "
            f"is {MAX_LENGTH}; split the document before tokenizing"
        )
    if int(lengths_D.sum(dtype=np.int64)) != ids_T.shape[0]:
        total = int(lengths_D.sum(dtype=np.int64))
        raise MaskLengthError(f"{prefix}: lengths sum to {total} but there are {ids_T.shape[0]} token ids")
    if before + lengths_D.shape[0] > MAX_LENGTH:
        raise DocumentTooLongError(f"{prefix}: more than {MAX_LENGTH} documents; write more shards")


def check_ids(prefix: Path, before: int, ids_T: np.ndarray, lengths_D: np.ndarray, dtype: np.dtype) -> None:
    """Raises TokenIdError, with the document, for an id that is no integer or does not fit the dtype."""
    if ids_T.dtype.kind not in "iu":
        raise TokenIdError(f"{prefix}: token ids are {ids_T.dtype}, not integers")
    limit = int(np.iinfo(dtype).max)
    if int(ids_T.min()) < 0 or int(ids_T.max()) > limit:
        token = int(np.argmax((ids_T < 0) | (ids_T > limit)))
        where = before + int(np.searchsorted(np.cumsum(lengths_D), token, side="right"))
        raise TokenIdError(
            f"{prefix}: token id {int(ids_T[token])} in document {where} is outside 0..{limit} "
            f"({dtype}); the vocabulary is larger than the one the shard was opened for"
        )


def check_mask(prefix: Path, mask_T: np.ndarray) -> None:
    """Raises MaskLengthError for a value that is neither 0 nor 1."""
    if mask_T.dtype.kind not in "biu" or int(mask_T.max()) > 1 or int(mask_T.min()) < 0:
        raise MaskLengthError(f"{prefix}: a loss mask value is neither 0 nor 1")
