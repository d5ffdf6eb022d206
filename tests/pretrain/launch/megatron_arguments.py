"""Writes what `pretrain_gpt.py` of a Megatron-LM checkout accepts as JSON: `python megatron_arguments.py CHECKOUT`.

Asks the parser itself, for half of the options are derived from data classes. Facts only: name, type, choices, number
of values. The output for tag core_v0.16.1 (github.com/NVIDIA/Megatron-LM) lies beside this file.
"""

import argparse
import enum
import json
import sys
import types
from typing import Any


def parser_of(checkout: str) -> argparse.ArgumentParser:
    """The checkout's parser. `six`, which it imports for old tokenizers, may be missing."""
    sys.modules.setdefault("six", types.ModuleType("six"))
    sys.path.append(checkout)
    from megatron.training.arguments import add_megatron_arguments  # type: ignore[import-not-found]

    return add_megatron_arguments(argparse.ArgumentParser(allow_abbrev=False, add_help=False))


def described(action: argparse.Action) -> dict[str, Any]:
    """`type` None is text; an enumeration takes the names of its members; `nargs` 0 is a switch."""
    choices = None if action.choices is None else list(action.choices)
    names = [one.name if isinstance(one, enum.Enum) else one for one in choices or ()]
    kind = action.type.__name__ if action.type in (int, float) else None  # type: ignore[union-attr]
    return {"type": kind, "choices": names or None, "nargs": action.nargs}


def arguments_of(checkout: str) -> dict[str, dict[str, Any]]:
    """Every option by its name, sorted."""
    actions = parser_of(checkout)._actions
    return dict(sorted((name, described(action)) for action in actions for name in action.option_strings))


if __name__ == "__main__":
    lines = (f"  {json.dumps(name)}: {json.dumps(what)}" for name, what in arguments_of(sys.argv[1]).items())
    print("{\n" + ",\n".join(lines) + "\n}")
