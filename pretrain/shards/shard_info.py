"""What a manifest says of a shard, and of the tokenizer: records whose paths never lead out of the corpus's folder."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, shard_file

Count = Annotated[int, Field(ge=0)]
Split = Literal["train", "valid", "test"]


def _relative(path: str) -> str:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} is not a plain path relative to the manifest's folder")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]


class Record(BaseModel):
    """Frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerInfo(Record):
    """The pretraining tokenizer. `hidden_id` is what replaces a hidden token."""

    file: RelativePath
    sha256: str
    vocab_size: Count
    eod: Count
    hidden_id: Count
    padded_vocab_size: Count


class ShardInfo(Record):
    """One shard. `sha256` has one entry per suffix in `pretrain.shards.shard.SUFFIXES`, and per suffix in
    `SCORE_SUFFIXES` where the shard has scores; `docs` may be added."""

    prefix: RelativePath
    docs: RelativePath
    split: Split = "train"
    documents: Count
    tokens: Count
    loss_tokens: Count
    score_counts: tuple[Count, ...] | None = None
    """Tokens at each of the 256 levels of the score companion; None without one."""
    group: str | None = None
    """The group of source files that its documents are from (`pretrain.shards.groups`); None in a mix."""
    sha256: dict[str, str]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows the prefix in the names of the shard's files."""
        return SUFFIXES if self.score_counts is None else (*SUFFIXES, *SCORE_SUFFIXES)

    def files(self) -> dict[str, str | None]:
        """The shard's files and its document index, relative to the manifest's folder, with the SHA-256 of each."""
        files = {shard_file(Path(self.prefix), suffix).as_posix(): self.sha256[suffix] for suffix in self.suffixes}
        return {**files, self.docs: self.sha256.get("docs")}

    @model_validator(mode="after")
    def _hashes_are_complete(self) -> Self:
        suffixes = self.suffixes
        wrong = set(self.sha256) - {"docs"} ^ set(suffixes)
        if wrong:
            raise ValueError(f"shard {self.prefix}: sha256 needs exactly {suffixes} (and docs), wrong: {sorted(wrong)}")
        if self.score_counts is not None and (len(self.score_counts) != 256 or sum(self.score_counts) != self.tokens):
            raise ValueError(
                f"shard {self.prefix}: score_counts must be 256 counts of {self.tokens} tokens, not "
                f"{len(self.score_counts)} of {sum(self.score_counts)}"
            )
        return self
