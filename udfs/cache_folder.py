"""Where things are kept that can be made again: under `TOKENSIEVE_CACHE`, the user's cache, or the temporary folder.

Executors often run without a home that they can write to, so a home is used if it takes a file and never demanded.
"""

import os
import tempfile
from pathlib import Path

from udfs.installed import own_temporary_folder

VARIABLE = "TOKENSIEVE_CACHE"


def cache_folder(kind: str) -> Path:
    """The folder of caches of one kind, made if it is not there.

    Raises PermissionError when `TOKENSIEVE_CACHE` names a folder that cannot be written to.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named) / kind
        if not _writable(folder):
            raise PermissionError(f"{VARIABLE}={named} cannot be written to; name another folder, or none")
        return folder
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "tokensieve" / kind
    if Path(home).is_absolute() and _writable(folder):
        return folder
    folder = own_temporary_folder() / kind
    folder.mkdir(exist_ok=True)
    return folder


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:  # no such home, a read-only one, or a full one
        return False
