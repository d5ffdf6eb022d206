"""Section `source`: where the text is, and which files that means."""

import glob
import os
import re
from pathlib import Path

from tokensieve.jobs.config.source import ColumnsConfig, SourceConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.source.remote_files import remote_root
from tokensieve.udfs.files.installed import conf_folder
from tokensieve.udfs.files.storage import is_remote

SUFFIXES = {"parquet": (".parquet",), "jsonl": (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz")}


def id_column(columns: ColumnsConfig, names: list[str]) -> str | None:
    """The column that holds document ids, None when ids are to be made."""
    return columns.id or ("id" if "id" in names else None)


def source_files(config: SourceConfig) -> tuple[str, list[str]]:
    """The source's root and its files in order of name. Raises InputError when there is none."""
    path, root = source_path(config), source_root(config)
    suffixes = SUFFIXES[config.format]
    if os.path.isdir(path):
        files = (str(file) for file in Path(path).rglob("*") if file.name.endswith(suffixes))
        found = [file for file in files if _visible(file, root) and os.path.isfile(file)]
    elif os.path.isfile(path):
        found = [path]
    elif glob.has_magic(path):
        found = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    else:
        raise InputError(f"source.path: {config.path} does not exist (looked for {path})")
    if not found:
        wanted = " or ".join(suffixes)
        raise InputError(f"source.path: no {wanted} file in {config.path}; source.format is {config.format}")
    return root, sorted(found)


def source_root(config: SourceConfig) -> str:
    """The folder below which tables name the source's files: the longest part of the path without a wildcard."""
    path = source_path(config)
    if is_remote(path):
        return remote_root(path, config.storage)
    if os.path.isdir(path):
        return path
    return os.path.dirname(path if os.path.isfile(path) else path[: len(path) - len(_wild(path))])


def _wild(path: str) -> str:
    """The part of a glob from its first wildcard on."""
    found = re.search(r"[*?[]", path)
    return path[found.start() :] if found else ""


def source_path(config: SourceConfig) -> str:
    """`source.path` as an absolute path or URI; `conf/...` that is not here is looked for in the installed presets."""
    if is_remote(config.path):
        return config.path.rstrip("/")
    if not os.path.exists(config.path) and config.path.startswith("conf/"):
        return str(conf_folder() / config.path.removeprefix("conf/"))
    return os.path.abspath(config.path.removeprefix("file://"))


def _visible(file: str, root: str) -> bool:
    """Hidden files and folders (`_SUCCESS`, `.part.crc`, `_staging/`) are no data, here as in Spark."""
    return not any(part.startswith(("_", ".")) for part in Path(file).relative_to(root).parts)
