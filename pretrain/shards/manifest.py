"""`manifest.json`: which shards make up a pretraining corpus, what they hold, and what they were made from.

Written last by `tokensieve export`, so a folder without it is not a corpus. Its id is the hash of its content, and
`manifests/<id>.json` keeps those that a release or a run still needs: shards are shared between them. Paths stay inside
the folder: a corpus can be moved as a whole, but large files cannot be linked in from another disk.
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, model_validator

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.shards.groups import GroupsFile
from tokensieve.pretrain.shards.shard import SCORE_SUFFIXES, SUFFIXES, shard_file
from tokensieve.pretrain.shards.shard_info import Count, Record, ShardInfo, Split, TokenizerInfo

FILE_NAME = "manifest.json"
KEPT = "manifests"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class ExportSettings(Record):
    """How documents were cut into splits, groups and shards; sizes are UTF-8 bytes of text, None: by the corpus's."""

    valid: float
    test: float
    splits_seed: int
    shard_text_bytes: int | None
    group_text_bytes: int | None


class Inputs(Record):
    """What the shards were made from: ids of the rule, the policies and bundles by name, the source table."""

    rule_id: str
    policies: dict[str, str]
    bundles: dict[str, str]
    source_table: dict[str, str]
    seed: int
    scores: str | None = None
    """The policy whose scores the score companion holds; None without one."""
    settings: ExportSettings | None = None
    """None in a mix, and in a shard set that was exported before there were groups."""


class Manifest(Record):
    """All shards of a corpus. Totals must equal the sums over the shards; `tokens` counts eod too."""

    format: Literal["tokensieve-shards/1"] = "tokensieve-shards/1"
    tokenizer: TokenizerInfo
    shards: tuple[ShardInfo, ...]
    inputs: Inputs
    groups: GroupsFile | None = None
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
        groups = {} if self.groups is None else {self.groups.file: self.groups.sha256}
        return {self.tokenizer.file: self.tokenizer.sha256, **groups} | {
            name: sha256 for shard in self.shards for name, sha256 in shard.files().items()
        }

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON; the folder's place does not enter."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, folder: Path, id: str | None = None) -> Self:
        """Read `folder/manifest.json`, the newest, or the one with this id.

        Raises ManifestError: missing, no longer kept, invalid, leaves the folder.
        """
        path = Path(folder) / FILE_NAME
        if id is None:
            if not path.is_file():
                raise ManifestError(f"{path}: no manifest here; run `tokensieve export` first")
            return cls._read(path, Path(folder))
        if (kept := kept_file(Path(folder), id)).is_file():
            return cls._read(kept, Path(folder), id)
        newest = cls._read(path, Path(folder)) if path.is_file() else None  # a copy of a corpus has only this one
        if newest is None or newest.id != id:
            there = "there is none" if newest is None else f"the newest is {newest.id}"
            raise ManifestError(
                f"{folder}: manifest {id} is no longer kept, {there}; `tokensieve refresh --as-of VERSION --rebuild "
                "FOLDER` makes the shards of a release again"
            )
        return newest

    @classmethod
    def _read(cls, path: Path, folder: Path, id: str | None = None) -> Self:
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ManifestError(f"{path}: {error}; run `tokensieve export` again") from error
        if id is not None and manifest.id != id:
            raise ManifestError(f"{path}: holds the manifest {manifest.id}; it was changed, restore the file")
        manifest._refuse_escapes(folder)
        return manifest

    def save(self, folder: Path) -> Path:
        """Write `folder/manifest.json` in one step (temporary file, fsync, rename), after all shards."""
        path = Path(folder) / FILE_NAME
        replace_file(path, self._data())
        return path

    def keep(self, folder: Path) -> Path:
        """Write `folder/manifests/<id>.json`, under which it is found when it is no longer the newest."""
        path = kept_file(Path(folder), self.id)
        path.parent.mkdir(exist_ok=True)
        replace_file(path, self._data())
        return path

    def _data(self) -> bytes:
        return (json.dumps(self._content(), indent=2, sort_keys=True) + "\n").encode()

    def _content(self) -> dict[str, Any]:
        """As JSON. What came later than the first manifests is left out where it is None, so their ids stay."""
        content = self.model_dump(mode="json")
        of_shards = [(shard, "group") for shard in content["shards"]]
        for record, name in [(content, "groups"), (content["inputs"], "settings"), *of_shards]:
            if record[name] is None:
                del record[name]
        return content

    def _refuse_escapes(self, folder: Path) -> None:
        inside(folder, self.tokenizer.file)
        if self.groups is not None:
            inside(folder, self.groups.file)
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


def kept_file(folder: Path, id: str) -> Path:
    """Where the manifest with this id is kept. Raises ManifestError for what is no id."""
    if not re.fullmatch("[0-9a-f]{16}", id):
        raise ManifestError(f"{id!r} is no manifest's id: 16 hex digits, as `tokensieve export` prints them")
    return folder / KEPT / f"{id}.json"
