"""A learned lexicon as one JSON file, named by its content, which executors read once a worker.

JSON and four decimals: people read these files, and the same counts give the same bytes.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from udfs.labels import LabelError
from udfs.lexicon import Lexicon


class StoredLexicon(BaseModel):
    """The content of the file: which policy it is for, what it was learned from, and the log-odds by word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-lexicon/1"] = "tokensieve-lexicon/1"
    policy: str
    definition_id: str
    """The policy's hash."""
    label_set: str
    label_batch: str
    """The label set that the documents' labels came from, and the name of its content."""
    forget_documents: int
    retain_documents: int
    alpha: float
    min_count: int
    log_odds: dict[str, float]
    """By lower-case word, rounded to four decimals."""

    def content(self) -> bytes:
        """The file's bytes: the same for the same content."""
        ordered = self.model_copy(update={"log_odds": dict(sorted(self.log_odds.items()))})
        return ordered.model_dump_json(indent=1).encode()

    @property
    def lexicon_id(self) -> str:
        """16 hex digits of the SHA-256 of the file."""
        return hashlib.sha256(self.content()).hexdigest()[:16]


def read_lexicon(path: str, lexicon_id: str | None = None) -> StoredLexicon:
    """Reads a lexicon. Raises LabelError: no such file, no lexicon, or another content than `lexicon_id` names."""
    try:
        stored = StoredLexicon.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise LabelError(f"lexicon {path} cannot be read: {error}; every node must see this path") from error
    except ValidationError as error:
        raise LabelError(f"{path} is no tokensieve-lexicon/1: {error.errors()[0]['msg']}; learn it again") from error
    if lexicon_id is not None and stored.lexicon_id != lexicon_id:
        raise LabelError(f"lexicon {path} has the content {stored.lexicon_id}, not {lexicon_id}; learn it again")
    return stored


@lru_cache(maxsize=4)
def words_of(path: str, lexicon_id: str, smooth: int) -> Lexicon:
    """The lexicon for scoring, held by the process."""
    stored = read_lexicon(path, lexicon_id)
    return Lexicon(log_odds={word.encode(): odds for word, odds in stored.log_odds.items()}, smooth=smooth)
