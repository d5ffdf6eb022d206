"""A configuration by its content, with the files that it names: what each step follows from beside its input.

Cheap enough for a night with nothing to do: bundles are verified, torch and the tokenizer are not loaded.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import ConfigError
from jobs.policies import RuleSet, content_id, rule_set
from jobs.presets import find
from jobs.scoring.job import scored_by
from udfs.tokenizing.gpt2_pair import PAIRS

if TYPE_CHECKING:
    from jobs.config import Config


@dataclass(frozen=True, kw_only=True)
class Ids:
    """`score` names bundles, columns and all else that scores follow from but the source's files, `export` the section
    of that name with its tokenizer."""

    score: str
    rules: RuleSet
    export: str

    @classmethod
    def of(cls, config: "Config") -> "Ids":
        """Raises ConfigError, InputError: a bundle, a policy or the tokenizer is missing or damaged."""
        export = config.export.model_dump(mode="json") | {"tokenizer": _tokenizer_sha256(config.export.tokenizer)}
        rules = rule_set(config.policies)
        bundles = {name: entry.bundle_id for name, entry in rules.policies.items()}
        return cls(
            score=content_id(scored_by(config, bundles)),
            rules=rules,
            export=content_id(export),
        )


def _tokenizer_sha256(reference: str | None) -> list[str]:
    """The SHA-256 of the tokenizer's file, or of each of its files."""
    if reference is None:
        raise ConfigError("export.tokenizer is not set: name the pretraining tokenizer's file")
    path = Path(reference)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
    else:
        file = find(reference)
        files = [file, *([file.with_name(PAIRS[file.name])] if file.name in PAIRS else [])]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
