"""Every option a user has, by walking the models and the command line, and every option that the pages name.

An option counts as documented where a page names it whole (`score.token_budget` in backticks, `score.token_budget=N`
in a command), in a table whose head says whose keys stand there, or in a YAML block. A word in a sentence is no line.
"""

import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ANY_NAME = "NAME"
SPAN = re.compile(r"`([^`]+)`")
KEY = re.compile(r"(\.?[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)(?:\s*[=:].*)?")
OVERRIDE = re.compile(r"(?<![\w./-])([a-z_]\w*(?:\.\w+)+)=")
HEAD = re.compile(r"(?P<what>section|key)(?: of (?P<file>[a-z'][a-z' ]*))?(?:(?:,| of) (?P<sections>`.+`))?")
CORPUS = "a corpus"
OF_EVERY_COMMAND = ("--config", "--json", "--show-config")


class Option(NamedTuple):
    """One key of one kind of file. A list adds nothing to the path, a mapping's key is NAME."""

    file: str
    path: str

    def is_at(self, file: str | None, path: str) -> bool:
        """Whether a page means this option; without a file only a dotted path says enough."""
        if file is None and "." not in path:
            return False
        return file in (None, self.file) and _fits(self.path, path)


def _fits(pattern: str, path: str) -> bool:
    own, given = pattern.split("."), path.split(".")
    return len(own) == len(given) and all(a in (b, ANY_NAME) for a, b in zip(own, given, strict=True))


@dataclass(frozen=True)
class Options:
    """All options: for each field of a model the places that it has in files, and the sections above them."""

    places: dict[tuple[type[BaseModel], str], list[Option]] = field(default_factory=dict)
    mappings: set[Option] = field(default_factory=set)
    """Options that are mappings without a model: what stands below them is the user's."""
    sections: set[Option] = field(default_factory=set)

    def add(self, model: type[BaseModel], file: str, above: str = "") -> None:
        """Walks a model and all models below it."""
        for name, about in model.model_fields.items():
            at = Option(file, f"{above}{name}")
            below = list(_models(about.annotation, at.path))
            if not below:
                self.places.setdefault((model, name), []).append(at)
                if "dict" in str(about.annotation):
                    self.mappings.add(at)
            for one, path in below:
                self.sections.update((at, Option(file, path)))
                self.add(one, file, f"{path}.")

    def has(self, file: str | None, path: str) -> bool:
        """Whether this is an option, a section, or a place below a mapping of the user's."""
        options = [one for places in self.places.values() for one in places]
        if any(one.is_at(file, path) for one in (*options, *self.sections)):
            return True
        above = path.split(".")
        return any(one.is_at(file, ".".join(above[:size])) for one in self.mappings for size in range(1, len(above)))


def _models(annotation: Any, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    """The models in a field's type, each with the path that its keys stand below."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
        return
    origin, members = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, dict):
        members = members[:1] if origin is Annotated else members[1:]
    elif origin not in (Union, types.UnionType, list, tuple):
        return
    for member in members:
        yield from _models(member, f"{path}.{ANY_NAME}" if origin is dict else path)


class Mention(NamedTuple):
    """A key that a page names; `file` is None where it does not say whose."""

    file: str | None
    path: str


def mentions(markdown: str, options: Options) -> Iterator[Mention]:
    """The keys that a page names, in the order of its lines."""
    fence, block, head = "", [], None
    lines = markdown.splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            if fence == "yaml":
                yield from _of_yaml("\n".join(block), options)
            fence, block = ("" if fence else line.strip().removeprefix("```") or "text"), []
        elif fence:
            block.append(line)
            yield from (Mention(None, path) for path in OVERRIDE.findall(line))
        elif line.startswith("|") and not line.startswith("|--"):
            is_head = number + 1 < len(lines) and lines[number + 1].startswith("|--")
            head = _cells(line) if is_head else head
            yield from _of_row(_cells(line), head or [])
        elif not line.startswith("|"):
            head = None
            yield from _of_prose(line)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _spans(text: str) -> list[str]:
    """What stands in backticks and reads like a key, without the value that may follow it."""
    found = (KEY.fullmatch(span) for span in SPAN.findall(text))
    return [match[1] for match in found if match]


def _of_prose(text: str, *, cell: bool = False) -> Iterator[Mention]:
    """Dotted keys; after one, `.key` is its neighbour, and in a table's cell `key` is too."""
    above = ""
    for span in _spans(text):
        if "." in span.lstrip("."):
            above = span.rpartition(".")[0]
            yield Mention(None, span)
        elif above and (span.startswith(".") or cell):
            yield Mention(None, f"{above}.{span.lstrip('.')}")


def _of_row(cells: list[str], head: list[str]) -> Iterator[Mention]:
    table = HEAD.fullmatch(head[0]) if head and cells != head else None
    if table and table["what"] == "section":
        keys = _spans(cells[head.index("keys")])
        yield from (Mention(CORPUS, f"{section}.{key}") for section in _spans(cells[0]) for key in keys)
    elif table and (table["file"] or table["sections"]):
        above = [f"{section}." for section in _spans(table["sections"] or "")] or [""]
        yield from (Mention(table["file"], f"{one}{key}") for one in above for key in _spans(cells[0]))
        for cell in cells[1:]:
            yield from _of_prose(cell)
    else:
        for name, cell in zip(head or cells, cells, strict=False):
            yield from _of_prose(cell, cell=name in ("key", "keys"))


def _of_yaml(text: str, options: Options) -> Iterator[Mention]:
    """A block belongs to the one kind of file that has all its keys; where several do, dotted keys alone say enough."""
    paths = list(_paths(yaml.safe_load(text)))
    files = {place.file for places in options.places.values() for place in places}
    fitting = [file for file in files if all(options.has(file, path) for path in paths)]
    yield from (Mention(fitting[0] if len(fitting) == 1 else None, path) for path in paths)


def _paths(content: Any, above: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _paths(value, f"{above}.{key}" if above else str(key))
    elif isinstance(content, list) and any(isinstance(one, dict) for one in content):
        for one in content:
            yield from _paths(one, above)
    else:
        yield above


def undocumented(options: Options, pages: dict[str, str]) -> list[Option]:
    """One place of each option that no page names; a model that stands in several places is documented in one."""
    named = {mention for text in pages.values() for mention in mentions(text, options)}
    return sorted(
        min(places) for places in options.places.values() if not any(one.is_at(*at) for one in places for at in named)
    )


def default_as_written(about: FieldInfo) -> str:
    """How a table's column "default" says it."""
    if about.is_required():
        return "must be given"
    default = about.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, str):
        plain = default == default.strip()
        return f"`{default if plain else json.dumps(default)}`" if default else "empty"
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def wrong_defaults(options: Options, pages: dict[str, str]) -> list[str]:
    """`PAGE: KEY, ...: CELL` for each row of a table of keys whose column "default" says another one."""
    found = []
    for page, text in pages.items():
        head: list[str] = []
        for line, below in pairwise([*text.splitlines(), ""]):
            cells = _cells(line)
            if below.startswith("|--"):
                head = cells
                continue
            row = line.startswith("|") and not line.startswith("|--") and head[1:2] == ["default"]
            if row and not _says(options, [*_of_row(cells, head)], _spans(cells[0]), cells[1]):
                found.append(f"{page}: {cells[0]}: {cells[1]}")
    return found


def _says(options: Options, keys: list[Mention], names: list[str], cell: str) -> bool:
    """Whether the cell is the one default of all keys, or theirs one after the other."""
    given = cell.split(", ") if len(cell.split(", ")) == len(names) else [cell] * len(names)
    return all(
        any(
            default_as_written(model.model_fields[own]) == text
            for (model, own), places in options.places.items()
            if any(place.is_at(*key) for place in places)
        )
        for name, text in zip(names, given, strict=True)
        for key in keys
        if key.path.endswith(f".{name}") or key.path == name
    )


OTHER_NAMES = re.compile(
    r".*\.(json|jsonl|html|py|md|yaml|sqlite|prom|parquet|safetensors|io|ts|sh)"  # files
    r"|spark\.(executor|executorEnv|driver|sql|task|python|pyspark|local|kubernetes|jars|hadoop|speculation|ui)(\..*)?"
)


def unknown(options: Options, pages: dict[str, str]) -> list[str]:
    """`PAGE: KEY` for each key below a known section that no model has."""
    sections = {one.path.split(".")[0] for one in options.sections}
    return [
        f"{page}: {mention.path}"
        for page, text in pages.items()
        for mention in dict.fromkeys(mentions(text, options))
        if (mention.file or mention.path.split(".")[0] in sections)
        and not OTHER_NAMES.fullmatch(mention.path)
        and not options.has(*mention)
    ]


def flags(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every command below this one: the words that call it, and its long options."""
    for name, one in getattr(command, "commands", {}).items():
        yield from flags(one, (*words, name))
    if not hasattr(command, "commands"):
        yield words, [name for one in command.params for name in one.opts if name.startswith("--")]


def code_lines(markdown: str) -> Iterator[str]:
    """What each line has of code: all of it in a block, else what stands in backticks."""
    fence = False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fence = not fence
        else:
            yield line if fence else " ; ".join(SPAN.findall(line))


def undocumented_flags(app: Any, pages: dict[str, str]) -> list[str]:
    """`COMMAND --flag` where no line of code has both; what every command has may stand anywhere."""
    lines = [set(re.findall(r"[\w-]+", line)) for text in pages.values() for line in code_lines(text)]
    missing = []
    for words, own in flags(app):
        for flag in own:
            needed = {flag} if flag in OF_EVERY_COMMAND else {flag, words[-1]}
            if not any(needed <= line for line in lines):
                missing.append(" ".join((*words, flag)))
    return missing


def unknown_flags(app: Any, pages: dict[str, str]) -> list[str]:
    """`PAGE: COMMAND --flag` where a page calls a command with an option that it lacks."""
    found = []
    known = {words: set(own) for words, own in flags(app)}
    for page, text in pages.items():
        for line in code_lines(text):
            for call in re.findall(r"\btokensieve ((?:[a-z-]+ )+[^;#&|]*)", f"{line} "):
                words = tuple(call.split())
                size = next((size for size in range(3, 0, -1) if words[:size] in known), 0)
                lacking = {word for word in words if word.startswith("--")} - known.get(words[:size], set(words))
                found += [f"{page}: {' '.join(words[:size])} {flag}" for flag in sorted(lacking)]
    return found
