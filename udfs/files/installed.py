"""Finds the data folders that are installed beside the code, under `conf/`, also when the code runs from a zip.

`spark-submit --py-files tokensieve.whl` puts the wheel on the path without unpacking it, and torch and tokenizers want
real files. A folder is then unpacked once per machine into the temporary folder, under a name made of its content, so
two versions never mix and workers that race do the same work twice instead of reading each other's halves.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from zipimport import zipimporter

PACKAGE = Path(__file__).parents[2]
"""The folder of the package `tokensieve`, where it is files on disk."""


def conf_folder() -> Path:
    """The installed `conf/` as a real folder, unpacked first where the code runs from a zip."""
    archive = code_archive()
    return PACKAGE / "conf" if archive is None else _unpacked(archive, "tokensieve/conf/")


def installed_names(kind: str, marker: str) -> list[str]:
    """Names of the folders under `conf/<kind>/` that hold the file `marker`, sorted."""
    return sorted(path.parent.name for path in (conf_folder() / kind).glob(f"*/{marker}"))


def installed_folder(kind: str, name: str) -> Path:
    """The real folder `conf/<kind>/<name>`."""
    return conf_folder() / kind / name


def code_archive() -> str | None:
    """The zip or wheel that our code was imported from, None when it is files on disk."""
    loader = __spec__.loader if __spec__ else None
    return loader.archive if isinstance(loader, zipimporter) else None


def own_temporary_folder() -> Path:
    """This user's folder in the temporary folder, made if it is not there.

    Raises PermissionError when somebody else has made it.
    """
    # One folder per user: a shared temporary folder must not let one user prepare another's files.
    home = Path(tempfile.gettempdir()) / f"tokensieve-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        raise PermissionError(f"{home} belongs to another user; remove it, or set TMPDIR to a folder of your own")
    return home


def _unpacked(archive: str, prefix: str) -> Path:
    with zipfile.ZipFile(archive) as file:
        entries = sorted(name for name in file.namelist() if name.startswith(prefix) and not name.endswith("/"))
        contents = {name[len(prefix) :]: file.read(name) for name in entries}
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    target = own_temporary_folder() / f"{PurePosixPath(prefix).name}-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        _write(contents, target)
    return target


def _write(contents: dict[str, bytes], target: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    for name, data in contents.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        os.rename(made, target)
    except OSError:
        # Another worker was first; its folder has the same content, for the content is in the name.
        shutil.rmtree(made)
        if not target.is_dir():
            raise
