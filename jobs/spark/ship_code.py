"""Puts our code on the executors' path where Spark does not do it by itself.

spark-submit ships a wheel given by --py-files, but Spark loads zips only. Over Spark Connect nothing is shipped, and
the server may run in another environment, so the code that the client runs goes along: a few MB for each session.
"""

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tokensieve.udfs.files.installed import PACKAGE, code_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOMS = ("conf", "jobs", "pretrain", "udfs")  # by name: in a checkout they are links


def ship_code(session: "SparkSession") -> None:
    """Makes our package importable in Python workers: the wheel as a zip; over Connect also what is plain files."""
    archive = code_archive()
    if hasattr(session, "_jsparkSession"):
        if archive is not None and archive.endswith(".whl"):
            session.sparkContext.addPyFile(str(_copied(archive)))
    else:
        session.addArtifacts(str(_zipped() if archive is None else _copied(archive)), pyfile=True)


def _copied(archive: str) -> Path:
    """The wheel under a name that Spark takes for Python code."""
    return Path(shutil.copyfile(archive, _folder() / f"{Path(archive).stem}.zip"))


def _zipped() -> Path:
    """Our package as it lies on disk, in one zip."""
    target = _folder() / "tokensieve.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for folder in (PACKAGE / room for room in ROOMS):
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    file.write(path, path.relative_to(PACKAGE.parent))
        file.write(PACKAGE / "__init__.py", "tokensieve/__init__.py")
    return target


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="tokensieve-"))
