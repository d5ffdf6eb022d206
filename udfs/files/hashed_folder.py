"""A folder that stands or does not: made beside its place, checked by the SHA-256 of its files, put there by a rename.

What classifier bundles and pretrained encoders share. An older folder of that name is replaced.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# A file of such a folder stands directly in it.
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class ChangedFile(ValueError):
    """A file is missing or is not the one that the folder's JSON names; the message says what to do."""


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and is removed when it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield made
        # mkdtemp and safetensors make what only its owner can read; executors often run as another user.
        made.chmod(0o755)
        for path in made.iterdir():
            path.chmod(0o644)
        _put(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 in hex of files of a folder, by name."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def check(folder: Path, expected: Mapping[str, str], named_in: str) -> None:
    """Raises ChangedFile unless every file is there and is the one that `named_in` names by its SHA-256."""
    for name, wanted in expected.items():
        path = folder / name
        if not path.is_file():
            raise ChangedFile(f"{path} is missing, though {named_in} names it; copy the whole folder again")
        found = hashes(folder, [name])[name]
        if found != wanted:
            raise ChangedFile(
                f"{path} is not the file that {named_in} names: its SHA-256 is {found}, expected {wanted}; "
                "it was changed or cut, copy the folder again"
            )


def _put(made: Path, folder: Path) -> None:
    """Renames a finished folder to its place. Rename cannot replace a folder with files: an old one steps aside."""
    if folder.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, aside / folder.name)
        os.rename(made, folder)
        shutil.rmtree(aside)
    else:
        os.rename(made, folder)
