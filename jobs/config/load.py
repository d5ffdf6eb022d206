"""Reads a configuration: a path on disk or a preset's name, dotted overrides on top, every fault with its key.

A path wins over a preset of that name (`conf/`); an unknown key names its nearest valid one.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from tokensieve.jobs.errors import ConfigError
from tokensieve.udfs.files.installed import conf_folder
from tokensieve.udfs.files.storage import CREDENTIALS

BUDGETS = ("steps", "tokens", "tokens_per_parameter")
Model = TypeVar("Model", bound=BaseModel)


def to_yaml(config: BaseModel, exclude: set[str] | None = None) -> str:
    """A resolved configuration as YAML, without the sections in `exclude`."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json", exclude=exclude)))


def load_section(model: type[Model], path: str, overrides: Sequence[str] = ()) -> Model:
    """`load_config` for a file that describes something else, such as a recipe."""
    file = find(path, suffix=".yaml")
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"override {override!r} is not of the form key.key=value")
    try:
        merged = OmegaConf.merge(OmegaConf.load(file), OmegaConf.from_dotlist(list(overrides)))
        content = _above_preset(OmegaConf.to_container(merged, resolve=True))
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as YAML: {error}") from error
    except TypeError as error:  # what OmegaConf says of a mapping merged into a list, or into a value
        raise ConfigError(f"{file}: an override names a place inside a list or a value: {error}") from error
    return validate(model, content, str(file))


def _above_preset(content: Any) -> Any:
    """Section `pretrain` on top of the preset that it names. A budget of its own replaces the preset's.

    Raises ConfigError that names the nearest preset.
    """
    section = content.get("pretrain") if isinstance(content, dict) else None
    if not isinstance(section, dict) or not isinstance(section.get("preset"), str):
        return content
    preset = OmegaConf.load(find(f"pretrain/{section['preset']}", suffix=".yaml"))
    if any(section.get(budget) is not None for budget in BUDGETS):
        preset = OmegaConf.masked_copy(preset, [key for key in preset if key not in BUDGETS])  # type: ignore[arg-type]
    return {**content, "pretrain": OmegaConf.to_container(OmegaConf.merge(preset, section), resolve=True)}


def validate(model: type[Model], content: Any, where: str) -> Model:
    """Builds a model from parsed YAML. Raises ConfigError with one line per fault, each with its dotted key."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, fault) for fault in error.errors()]
        raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from None


def _explain(model: type[BaseModel], fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == CREDENTIALS:  # what was given is not repeated
        return f"{key}: {fault['msg']}"
    if fault["type"] != "extra_forbidden":
        return f"{key or 'the file'}: {fault['msg']} (given: {_shown(fault['input'])})"
    valid = _valid_keys(model, fault["loc"][:-1])
    near = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1, cutoff=0.5)
    hint = f"did you mean {'.'.join([*map(str, fault['loc'][:-1]), near[0]])}? " if near else ""
    return f"unknown key {key}; {hint}valid keys here: {', '.join(sorted(valid))}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _valid_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Field names of the model that sits at `location` below `model`."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation if part in current.model_fields else None
        else:  # a mapping or a list: its values' type
            current = current.__args__[-1] if getattr(current, "__origin__", None) in (dict, list) else current
        current = _without_none(current)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _without_none(annotation: Any) -> Any:
    members = [member for member in getattr(annotation, "__args__", ()) if member is not type(None)]
    is_union = type(None) in getattr(annotation, "__args__", ())
    return members[0] if is_union and len(members) == 1 else annotation


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
