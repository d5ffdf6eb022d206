"""`groups/<hash>.json`: which source files went into which shards, so that the next export need not touch the others.

A group is a few source files whose documents lie in shards of their own. The manifest names this file with its hash, so
that it stays small itself with 100,000 source files; training never reads it. Canonical JSON: the same groups have the
same bytes whatever library wrote them, at the price of about 100 bytes a source file.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.shards.shard_info import Count, Record

FOLDER = "groups"


class Member(Record):
    """One source file as it went in: its version, and the version of `scores` that last wrote its rows."""

    version: str
    written: int


class Group(Record):
    """Source files by name, and what was exported of them; bytes are UTF-8 of the exported documents' text."""

    name: str
    sources: dict[str, Member]
    documents: Count
    text_bytes: Count
    forget_bytes: Count


class Groups(Record):
    """All groups of a shard set. A source file is in one group, if only with documents that were all dropped."""

    format: Literal["tokensieve-groups/1"] = "tokensieve-groups/1"
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        names = [name for group in self.groups for name in group.sources]
        if len(set(names)) < len(names):
            raise ValueError("a source file is in more than one group")
        if len({group.name for group in self.groups}) < len(self.groups):
            raise ValueError("two groups have the same name")
        return self

    def data(self) -> bytes:
        """The file's bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def save(self, folder: Path) -> "GroupsFile":
        """Writes the file below the shard folder, under the name of its content."""
        data = self.data()
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{FOLDER}/{sha256[:16]}.json"
        (folder / FOLDER).mkdir(exist_ok=True)
        replace_file(folder / file, data)
        return GroupsFile(
            file=file,
            sha256=sha256,
            groups=len(self.groups),
            sources=sum(len(group.sources) for group in self.groups),
        )


class GroupsFile(Record):
    """What a manifest says of its groups: the file, and how many groups and source files are in it."""

    file: Annotated[str, Field(pattern=rf"^{FOLDER}/[0-9a-f]+\.json$")]
    sha256: str
    groups: Count
    sources: Count

    def load(self, folder: Path) -> Groups:
        """Reads the file. Raises ManifestError where it is missing or not the one that the manifest names."""
        path = folder / self.file
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ManifestError(f"{path}: missing; export again") from None
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise ManifestError(f"{path}: sha256 is {found}, the manifest says {self.sha256}; export again")
        try:
            return Groups.model_validate_json(data)
        except ValidationError as error:
            raise ManifestError(f"{path}: {error}; export again") from error
