"""ONNX graphs of bundles, made once a machine, compared with torch on the spot, kept under the hash of what they are.

The name covers bundles, precision, onnxruntime's version and the kind of machine. torch's version is only recorded: the
comparison has judged what its exporter made, and so a worker without torch can use the graph. Workers that want the
same graph wait for one of them; each verifies the files that it reads.
"""

import fcntl
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from udfs.bundle_checks import content_id
from udfs.cache_folder import cache_folder
from udfs.hashed_folder import ChangedFile, check, hashes, new_folder
from udfs.scoring.backends.agreement import LogitAgreement, agreement
from udfs.scoring.backends.onnx_export import GRAPH, WEIGHTS, export, quantize
from udfs.scoring.backends.onnx_layout import Layout
from udfs.scoring.backends.onnx_session import OnnxSession, onnxruntime
from udfs.scoring.backends.probe import probe
from udfs.scoring.backends.torch_packed import TorchPacked

if TYPE_CHECKING:
    from udfs.bundle import Bundle

Precision = Literal["fp32", "int8"]

FORMAT = "tokensieve-onnx/1"
RECORD = "record.json"
LARGEST_DIFFERENCE = 1e-3  # of an fp32 graph's logits: a 60th of a step of the grid
MOST_FLIPPED = 0.05  # of an int8 graph's decisions


class GraphRefused(ValueError):
    """A graph whose scores are not the bundle's; the message says by how much and what to do."""


class GraphRecord(BaseModel):
    """`record.json` of a cached graph: what it was made of and by, and how far it is from torch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-onnx/1"] = FORMAT
    precision: Precision
    bundles: tuple[str, ...]
    layout: Layout
    files: dict[str, str]
    agreement: LogitAgreement
    made_with: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A verified graph in the cache."""

    folder: Path
    record: GraphRecord


def prepared_graph(members: "Sequence[Bundle]", precision: Precision) -> Graph:
    """The graph of bundles that share an encoder, from the cache or made now.

    Raises:
        ImportError: a library is not installed; making a graph takes more of them than using one.
        ExportError: the encoder cannot be an ONNX graph.
        GraphRefused: the graph's values are not those of torch, within the limits of this file.
    """
    name = content_id(
        {
            "format": FORMAT,
            "bundles": [bundle.bundle_id for bundle in members],
            "precision": precision,
            "onnxruntime": onnxruntime().__version__,
            "machine": platform.machine(),
        }
    )
    folder = cache_folder("onnx") / name
    if (found := _read(folder)) is not None:
        return found
    with _only_one(folder):
        return _read(folder) or _make(members, precision, folder)


def _read(folder: Path) -> Graph | None:
    """The graph, None where there is none or where it was damaged."""
    try:
        record = GraphRecord.model_validate_json((folder / RECORD).read_bytes())
        check(folder, record.files, RECORD)
    except (FileNotFoundError, ValidationError, ChangedFile):
        return None
    return Graph(folder=folder, record=record)


def _make(members: "Sequence[Bundle]", precision: Precision, folder: Path) -> Graph:
    with new_folder(folder) as made:
        if precision == "fp32":
            layout = export(members, made)
        else:
            whole = prepared_graph(members, "fp32")
            quantize(whole.folder / GRAPH, made)
            layout = whole.record.layout
        found = _compare(members, made, layout)
        check_limits(members, precision, found)
        record = GraphRecord(
            precision=precision,
            bundles=tuple(bundle.bundle_id for bundle in members),
            layout=layout,
            files=hashes(made, [GRAPH, WEIGHTS]),
            agreement=found,
            made_with={name: _version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime", "transformers")},
        )
        (made / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Graph(folder=folder, record=record)


def _compare(members: "Sequence[Bundle]", folder: Path, layout: Layout) -> LogitAgreement:
    ids_P, bounds_N1 = probe(members[0])
    torch = TorchPacked(members, dtype="float32", compile=False, token_budget=len(ids_P))
    expected_PH = torch.submit(ids_P, bounds_N1).values()
    found_PH, _ = OnnxSession(folder, layout, threads=1).run(ids_P, bounds_N1)
    return agreement(expected_PH, found_PH, [bundle.spec.thresholds["token"].value for bundle in members])


def check_limits(members: "Sequence[Bundle]", precision: Precision, found: LogitAgreement) -> None:
    """Raises GraphRefused for a graph that is too far from torch."""
    close = found.max_difference <= LARGEST_DIFFERENCE if precision == "fp32" else found.flipped <= MOST_FLIPPED
    if close and found.finite:
        return
    limit = f"differences up to {LARGEST_DIFFERENCE:g}" if precision == "fp32" else f"{MOST_FLIPPED:.0%} of decisions"
    other = "torch" if precision == "fp32" else "onnx or torch"
    raise GraphRefused(
        f"bundle {members[0].path}: its ONNX {precision} graph does not agree with torch ({found}); allowed are "
        f"{limit} and no value that is not a number; set score.backend={other}"
    )


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Waits until no other process makes this folder; a process that dies lets go."""
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
