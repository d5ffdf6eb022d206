"""The house stays as docs/architecture.md draws it: rooms in one order, imports pointing down, no circle of files.

Every import counts, those inside functions and under TYPE_CHECKING too. A verb that is named as text
(jobs/command/verbs.py) is no import: that is how a command finds its verb without knowing it.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "tokensieve"

FLOORS = (
    # udfs: what runs inside an executor
    ("udfs/__init__.py", "udfs/files", "udfs/spans", "udfs/scores", "udfs/tokenizing"),
    ("udfs/reading", "udfs/packing", "udfs/deciding"),
    ("udfs/labels", "udfs/encoders"),
    ("udfs/bundles", "udfs/sae"),
    ("udfs/scoring/backends",),
    ("udfs/scoring",),
    # pretrain: what runs beside Megatron
    ("pretrain",),  # the files that stand flat in it
    ("pretrain/shards", "pretrain/labelled"),
    ("pretrain/samples", "pretrain/mix", "pretrain/measuring"),
    ("pretrain/training", "pretrain/classifier"),
    ("pretrain/evaluate", "pretrain/convert", "pretrain/launch", "pretrain/encoder"),
    # jobs: what runs on a driver
    ("jobs/errors.py",),
    ("jobs/spark",),
    ("jobs/tables",),
    ("jobs/config",),
    ("jobs/policies", "jobs/source", "jobs/command"),
    ("jobs/releases", "jobs/scoring", "jobs/labelling", "jobs/pages"),
    ("jobs/exporting", "jobs/labelling/claude"),
    ("jobs/labelling/sae", "jobs/pages/corpus", "jobs/pages/classifier", "jobs/pages/refresh"),
    ("jobs/refreshing", "jobs/tracing"),
    ("jobs",),  # the verbs
    ("jobs/refresh.py", "jobs/demo.py"),  # verbs that run verbs
    ("jobs/cli.py",),
)
"""Rooms and lone files, the lowest first. What stands side by side imports nothing of its neighbours."""

FORBIDDEN = {
    "udfs": {
        "pyspark": "an executor gets record batches; what knows Spark is in jobs/",
        "delta": "an executor gets record batches; what knows Delta is in jobs/",
        "megatron": "executors have no Megatron",
    },
    "pretrain": {"pyspark": "training nodes have no Spark", "delta": "training nodes have no Delta"},
    "jobs": {
        "torch": "a Spark-only user never installs torch; put it in udfs/ or pretrain/",
        "transformers": "a Spark-only user never installs transformers; put it in udfs/ or pretrain/",
        "megatron": "a Spark-only user never installs Megatron; put it in pretrain/",
    },
}
FIT = f"{NAME}.jobs.fit"  # trains a classifier, so its recipe knows torch
PRETRAIN_FLAT = {"__init__.py", "errors.py", "hashed_file.py", "hashing.py", "process_group.py"}


def files() -> list[Path]:
    """Our code, relative to the repository."""
    found = (path for room in ("udfs", "pretrain", "jobs") for path in (REPOSITORY / room).rglob("*.py"))
    return sorted(path.relative_to(REPOSITORY) for path in found)


@cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """(line, dotted name) of every import of a file, wherever it stands."""
    return tuple(_imports((REPOSITORY / file).read_text(encoding="utf-8")))


def _imports(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from ((node.lineno, f"{dots}{node.module or ''}.{alias.name}") for alias in node.names)


def ours(name: str) -> Path | None:
    """The file of ours that a dotted name leads to."""
    parts = name.split(".")
    if parts[0] != NAME:
        return None
    for length in (len(parts), len(parts) - 1):
        path = Path(*parts[1:length])
        for candidate in (path.with_suffix(".py") if path.name else path, path / "__init__.py"):
            if (REPOSITORY / candidate).is_file():
                return candidate
    return None


def floor(file: Path) -> tuple[int, str]:
    """The number of a file's floor and its room: the longest name in FLOORS that the file is, or lies below."""
    places = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    for place in (file.as_posix(), *(parent.as_posix() for parent in file.parents)):
        if place in places:
            return places[place], place
    raise AssertionError(f"{file}: no room of FLOORS holds it; give the room its floor in tests/test_rooms.py")


def wrong_way(file: Path, text: str) -> list[str]:
    """What is wrong with the imports of a file, each with the rule's reason."""
    found = []
    here, room = floor(file)
    for line, name in _imports(text):
        where = f"{file}:{line}: imports {name}:"
        top = name.split(".")[0]
        if top in ("", "jobs", "udfs", "pretrain", "conf"):
            found.append(f"{where} installed, everything lies below `{NAME}`: import it by that name")
        if reason := FORBIDDEN[file.parts[0]].get(top):
            found.append(f"{where} {reason}")
        target = ours(name)
        if target is None or target.name == "__init__.py":
            continue
        there, other = floor(target)
        if there > here:
            found.append(f"{where} {other} is above {room}; move what is needed down, or hand it in")
        elif there == here and other != room:
            found.append(f"{where} {other} stands beside {room}, and neither knows the other")
        elif room == other == "jobs" and target != file:
            found.append(f"{where} a verb is no library; what two verbs need lies in a room below")
    return found


def circles(graph: dict[Path, set[Path]]) -> list[list[Path]]:
    """Files that import each other in a ring, each ring once, as far as a walk in depth meets them."""
    done: set[Path] = set()
    found = []

    def walk(file: Path, trail: list[Path]) -> None:
        if file in trail:
            found.append([*trail[trail.index(file) :], file])
        elif file not in done:
            for target in sorted(graph[file]):
                walk(target, [*trail, file])
            done.add(file)

    for file in sorted(graph):
        walk(file, [])
    return found


def test_no_import_points_up_or_names_what_its_room_must_not():
    wrong = [line for file in files() for line in wrong_way(file, (REPOSITORY / file).read_text(encoding="utf-8"))]
    assert not wrong, "\n" + "\n".join(wrong)


def test_files_make_no_circle():
    graph = {file: {found for _, name in imports(file) if (found := ours(name)) and found != file} for file in files()}
    wrong = [" -> ".join(map(str, ring)) for ring in circles(graph)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_rooms_stand_where_a_reader_looks_for_them():
    verbs = {verb.code.split(":")[0] for verb in _verbs()}
    flat = {path.stem for path in Path(REPOSITORY / "jobs").glob("*.py")}
    strangers = {
        name
        for name in flat - {"__init__", "cli", "errors", "convert", "doctor", "launch"}
        if f"jobs.{name}" not in verbs
    }
    assert not strangers, f"flat in jobs/ are verbs, cli.py and errors.py: what else is {sorted(strangers)}?"
    assert [path.name for path in Path(REPOSITORY / "udfs").glob("*.py")] == ["__init__.py"]
    assert {path.name for path in Path(REPOSITORY / "pretrain").glob("*.py")} == PRETRAIN_FLAT


def _verbs() -> list:
    from tokensieve.jobs.command import verbs

    named = [value for value in vars(verbs).values() if isinstance(value, verbs.Verb)]
    listed = [verb for value in vars(verbs).values() if isinstance(value, tuple) for verb in value]
    return [*named, *listed]


def test_without_torch_and_megatron_every_verb_but_fit_is_imported():
    modules = [f"{NAME}.{'.'.join(file.with_suffix('').parts)}" for file in files() if file.parts[0] == "jobs"]
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'megatron', 'transformers', 'sae_lens', 'anthropic'): sys.modules[name] = None\n"
        f"for name in {sorted({*modules} - {FIT})}: importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("room", sorted({path.parent for path in files()}), ids=str)
def test_each_room_tells_its_flow(room):
    text = ast.get_docstring(ast.parse((REPOSITORY / room / "__init__.py").read_text(encoding="utf-8")))
    assert text, f"{room}/__init__.py says nothing of what comes in, what happens in which file and what leaves"
    named = {path.stem for path in Path(REPOSITORY / room).glob("*.py")} - {"__init__"}
    untold = sorted(name for name in named if f"`{name}`" not in text and f"`{name}." not in text)
    assert not untold, f"{room}/__init__.py does not say what happens in {untold}"


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        (
            "udfs/spans/carry.py",
            "from tokensieve.udfs.scoring.scorer import Scorer",
            "udfs/scoring is above udfs/spans",
        ),
        ("udfs/spans/carry.py", "def f():\n    from tokensieve.udfs.scoring import scorer", "udfs/scoring is above"),
        ("udfs/scores/a.py", "import pyspark", "an executor gets record batches"),
        ("pretrain/shards/a.py", "from tokensieve.jobs.errors import InputError", "jobs/errors.py is above"),
        ("pretrain/mix/a.py", "from tokensieve.pretrain.samples import corpus", "pretrain/samples stands beside"),
        ("jobs/scoring/a.py", "from tokensieve.jobs.score import run", "jobs is above jobs/scoring"),
        ("jobs/mask.py", "from tokensieve.jobs.score import run", "a verb is no library"),
        ("jobs/mask.py", "from udfs.spans import carry", "import it by that name"),
    ],
)
def test_an_import_that_breaks_a_rule_is_named_with_its_reason(file, line, reason):
    (found,) = wrong_way(Path(file), line)
    assert found.startswith(f"{file}:")
    assert reason in found
