"""`manifest.json`: which shards make up a pretraining corpus, what they hold, and what they were made from.

Written last by `tokensieve export`, so a folder without it is not a corpus. Its id is the hash of its
content. Paths in it are relative and stay inside the folder: a corpus can be moved as a whole, at the price
that large files cannot be linked in from another disk.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pretrain.hashed_file import replace_file
from pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, shard_file

if TYPE_CHECKING:
    from pretrain.shards.verify import Problem

FILE_NAME = "manifest.json"
Count = Annotated[int, Field(ge=0)]
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class ManifestError(ValueError):
    """A manifest is missing, cannot be read, or names a file outside its folder."""


def _relative(path: str) -> str:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} is not a plain path relative to the manifest's folder")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerInfo(_Record):
    """The pretraining tokenizer. `hidden_id` is what replaces a hidden token."""

    file: RelativePath
    sha256: str
    vocab_size: Count
    eod: Count
    hidden_id: Count
    padded_vocab_size: Count


class ShardInfo(_Record):
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


class Inputs(_Record):
    """What the shards were made from: ids of the rule, the policies and bundles by name, the source table."""

    rule_id: str
    policies: dict[str, str]
    bundles: dict[str, str]
    source_table: dict[str, str]
    seed: int
    scores: str | None = None
    """The policy whose scores the score companion holds; None without one."""


class Manifest(_Record):
    """All shards of a corpus. Totals must equal the sums over the shards; `tokens` counts eod too."""

    format: Literal["tokensieve-shards/1"] = "tokensieve-shards/1"
    tokenizer: TokenizerInfo
    shards: tuple[ShardInfo, ...]
    inputs: Inputs
    documents: Count
    tokens: Count
    loss_tokens: Count

    @model_validator(mode="after")
    def _totals_are_sums(self) -> Self:
        for name in ("documents", "tokens", "loss_tokens"):
            total, parts = getattr(self, name), sum(getattr(shard, name) for shard in self.shards)
            if total != parts:
                raise ValueError(f"{name} is {total} but the shards sum to {parts}")
        twice = [prefix for prefix, count in Counter(s.prefix for s in self.shards).items() if count > 1]
        if twice:
            raise ValueError(f"listed more than once: {twice}")
        return self

    def shards_of(self, split: Split) -> tuple[ShardInfo, ...]:
        """The shards of one split, in the manifest's order."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def files(self) -> dict[str, str | None]:
        """Every file of the corpus but the manifest, by its path there, with its SHA-256 (None: unknown)."""
        return {self.tokenizer.file: self.tokenizer.sha256} | {
            name: sha256 for shard in self.shards for name, sha256 in shard.files().items()
        }

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON; the folder's place does not enter."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder/manifest.json`. Raises ManifestError: missing, invalid, leaves the folder."""
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise ManifestError(f"{path}: no manifest here; run `tokensieve export` first")
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ManifestError(f"{path}: {error}; run `tokensieve export` again") from error
        manifest._refuse_escapes(Path(folder))
        return manifest

    def save(self, folder: Path) -> Path:
        """Write `folder/manifest.json` in one step (temporary file, fsync, rename), after all shards."""
        path = Path(folder) / FILE_NAME
        replace_file(path, (json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode())
        return path

    def verify(self, folder: Path) -> list["Problem"]:
        """Read every file and name what is wrong (`pretrain.shards.verify`). Raises ManifestError."""
        from pretrain.shards.verify import verify_shards  # it needs Manifest, so not at the top

        return verify_shards(self, Path(folder))

    def _refuse_escapes(self, folder: Path) -> None:
        inside(folder, self.tokenizer.file)
        for shard in self.shards:
            inside(folder, shard.docs)
            for suffix in (*SUFFIXES, *SCORE_SUFFIXES):
                inside(folder, shard_file(Path(shard.prefix), suffix).as_posix())


def inside(folder: Path, relative: str) -> Path:
    """`folder/relative`, refused (ManifestError) when it leaves the folder, also through a symbolic link."""
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ManifestError(f"{path}: leads out of {folder} to {path.resolve()}; copy the file into the folder")
    return path
