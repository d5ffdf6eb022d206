"""Finds configuration files: a path on disk wins, else the files that were installed with the package (`conf/`)."""

import difflib
from pathlib import Path

from jobs.errors import ConfigError
from udfs.installed import conf_folder


def find(reference: str, suffix: str = "") -> Path:
    """The file that `reference` names: `x/y.yaml`, `conf/demo.yaml` or just `demo`.

    Raises ConfigError that lists the places it looked in and the nearest name.
    """
    conf = conf_folder()
    inside = reference.removeprefix("conf/")
    candidates = [Path(reference), conf / inside, conf / f"{inside}{suffix}"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = sorted(file.relative_to(conf).as_posix() for file in conf.rglob(f"*{suffix}")) if conf.is_dir() else []
    near = difflib.get_close_matches(f"{inside}{suffix}", known, n=1, cutoff=0.4)
    hint = f"; did you mean conf/{near[0]}?" if near else ""
    raise ConfigError(f"{reference}: no such file here or among the installed presets in {conf}{hint}")
