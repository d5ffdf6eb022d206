"""Verb `pretrain convert`: a finished run as a Hugging Face folder. No configuration: both folders are named."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokensieve.jobs.errors import InputError


def run(run_folder: Path, out: Path, tokenizer: Path | None) -> dict[str, Any]:
    """Converts and returns what was written. Raises InputError without torch, ConvertError."""
    if find_spec("torch") is None:
        raise InputError("torch is not installed; pip install 'tokensieve[pretrain]'")
    from tokensieve.pretrain.convert.convert import convert

    converted = convert(run_folder, out, tokenizer)
    return asdict(converted) | {"out": str(converted.out)}
