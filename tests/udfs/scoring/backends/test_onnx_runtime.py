"""ONNX graphs say what the packed encoders say, are made once, compared, and refused where they do not agree."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.bundles import SHAPE, small_tokenizer
from tests.hugging_face import model_content
from udfs.bundle import Bundle, save
from udfs.bundle_spec import BundleDraft, Threshold
from udfs.encoders import build
from udfs.scoring.backends import build_backend, onnx_graph
from udfs.scoring.backends.agreement import LogitAgreement
from udfs.scoring.backends.onnx_graph import GraphRefused, check_limits, prepared_graph
from udfs.scoring.backends.onnx_runtime import OnnxBackend
from udfs.scoring.backends.probe import probe
from udfs.scoring.backends.torch_packed import TorchPacked

pytest.importorskip("onnxruntime", reason="the ONNX back end needs tokensieve[onnx]")
pytest.importorskip("onnxscript", reason="making a graph needs tokensieve[onnx]")

SMALL = {"vocab_size": 600, "dim": 16, "heads": 2, "hidden": 32}
WINDOW = 64
# Like lengths, equal ones, full windows, one token alone; 90 windows of one and two tokens.
PACKS = ([64, 64, 63, 30, 30, 29, 12, 3, 1], [1], [7] * 5, [2] * 40 + [1] * 50, [64])


def hugging_face(family: str) -> dict[str, Any]:
    model = model_content(family) | {"vocab_size": 600, "max_position_embeddings": 80}
    return {"type": "huggingface", "layers": [3, 1], "before": [2], "after": [3], "model": model}


def made(folder: Path, shape: dict[str, Any], *, seed: int = 0, threshold: float = 0.5) -> Bundle:
    """A bundle of any kind of encoder with made-up weights, the same encoder for every seed."""
    torch.manual_seed(0)
    encoder: Any = build(dict(shape))
    torch.manual_seed(seed)
    heads = {f"{unit}.weight": torch.randn(encoder.dim) for unit in ("token", "document")}
    heads |= {f"{unit}.bias": torch.full((1,), 0.25) for unit in ("token", "document")}
    draft = BundleDraft(
        name=folder.name,
        policy="test",
        encoder=dict(shape),
        window=WINDOW,
        margin=16,
        thresholds={"token": Threshold(value=threshold, how="made up")},
        training_data=[],
        metrics={},
    )
    tokenizer = small_tokenizer(folder.parent / "tokenizer.json", ["some text of no meaning", "a text"])
    return save(folder, draft, encoder=encoder.state_dict(), heads=heads, tokenizer=tokenizer, card="made up\n")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TOKENSIEVE_CACHE", str(folder))
        yield folder / "onnx"


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> list[Bundle]:
    """Two policies on one sliding encoder."""
    folder = tmp_path_factory.mktemp("bundles")
    return [made(folder / "one", SHAPE), made(folder / "two", SHAPE, seed=1, threshold=0.8)]


@pytest.fixture(scope="module")
def graph(cache, members) -> OnnxBackend:
    return OnnxBackend(members, precision="fp32")


def reference(members: list[Bundle]) -> TorchPacked:
    return TorchPacked(members, dtype="float32", compile=False, token_budget=4096)


def pack(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    bounds_N1 = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.random.default_rng(0).integers(0, 600, bounds_N1[-1]), bounds_N1


def assert_same_values(backend: OnnxBackend, members: list[Bundle]) -> None:
    torch_packed = reference(members)
    for lengths in PACKS:
        ids_P, bounds_N1 = pack(lengths)
        found = backend.submit(ids_P, bounds_N1)
        assert found.values().shape == (len(ids_P), 2 * len(members))
        assert found.values().dtype == np.float32
        np.testing.assert_allclose(found.values(), torch_packed.submit(ids_P, bounds_N1).values(), atol=1e-4, rtol=0)


def test_a_graph_of_two_policies_on_a_sliding_encoder_says_what_torch_says(graph, members):
    assert_same_values(graph, members)
    ids_P, bounds_N1 = pack([64, 5])
    assert graph.submit(ids_P, bounds_N1).computed == 72  # a multiple of the reach of 8
    assert graph.submit(*pack([])).values().shape == (0, 4)
    assert graph.agreement.finite
    assert graph.agreement.max_difference < 1e-4
    assert (graph.name, graph.busy_seconds() > 0) == ("onnx float32", True)


def test_a_graph_of_a_masked_encoder_says_what_torch_says_and_nothing_is_printed(cache, tmp_path, capfd):
    members = [made(tmp_path / "masked", {"type": "masked", "layers": [1, 2], **SMALL})]
    backend = OnnxBackend(members, precision="fp32")
    assert capfd.readouterr() == ("", "")
    assert_same_values(backend, members)
    assert backend.submit(*pack([64, 63, 40])).computed == 2 * 64 + 40


@pytest.mark.slow  # 10 s of exporting each
@pytest.mark.parametrize(
    "shape",
    [{"type": "bilm", "layers": [1, 2], **SMALL}, *map(hugging_face, ("bert", "roberta", "modernbert"))],
    ids=["bilm", "bert", "roberta", "modernbert"],
)
def test_graphs_of_the_other_encoders_say_what_torch_says(cache, tmp_path, shape):
    members = [made(tmp_path / "other", shape)]
    assert_same_values(OnnxBackend(members, precision="fp32"), members)
    assert OnnxBackend(members, precision="int8").agreement.flipped < 0.05


def test_flips_of_an_int8_graph_are_those_that_its_values_show(graph, members):
    backend = OnnxBackend(members, precision="int8")
    ids_P, bounds_N1 = probe(members[0])
    assert len(ids_P) == backend.agreement.tokens
    expected, found = (one.submit(ids_P, bounds_N1).values()[:, ::2] for one in (reference(members), backend))
    grid = np.round(16 * np.stack([expected, found]).clip(-8, 127 / 16))
    flips = (grid[0] >= [0, 23]) != (grid[1] >= [0, 23])  # log-odds of 0.8 are 1.386, the next step 23 / 16
    assert backend.agreement.decision_flips == flips.sum() > 0
    assert backend.agreement.step_flips == (np.abs(grid[0] - grid[1]) > 1).sum() > 0
    assert backend.name == "onnx int8"


def test_heads_stay_in_float32_and_every_other_matrix_is_int8(graph, members):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(prepared_graph(members, "int8").folder / "graph.onnx", load_external_data=False)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    used = {name: node.op_type for node in model.graph.node for name in node.input if name in kinds}
    matrices = [name for name, operation in used.items() if operation in ("MatMul", "Gemm", "MatMulInteger")]
    of_heads = {name for name in matrices if name.startswith("heads.")}
    int8 = [name for name in matrices if name.endswith("weight_quantized")]
    assert len(of_heads) == 4
    assert len(int8) == 2 * 4  # qkv, out, up, down of two layers
    assert {kinds[name] for name in of_heads} == {onnx.TensorProto.FLOAT}
    assert {kinds[name] for name in int8} == {onnx.TensorProto.INT8}


def test_the_probe_is_the_same_every_time_and_holds_full_windows(members):
    (ids_P, bounds_N1), (again_P, _) = probe(members[0]), probe(members[0])
    assert np.array_equal(ids_P, again_P)
    assert (np.diff(bounds_N1)[0], np.diff(bounds_N1).min()) == (WINDOW, 1)
    assert (np.diff(np.diff(bounds_N1)) <= 0).all()
    assert len(set(ids_P.tolist())) > 30


def test_a_graph_in_the_cache_is_not_made_again_and_needs_neither_torch_nor_the_exporter(graph, members, cache):
    script = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'onnx', 'onnxscript', 'transformers'])\n"
        "from udfs.bundle import Bundle\n"
        "from udfs.scoring.backends.onnx_runtime import OnnxBackend\n"
        "import numpy as np\n"
        f"members = [Bundle.load(path) for path in {[str(one.path) for one in members]}]\n"
        "backend = OnnxBackend(members, precision='fp32')\n"
        "print(backend.submit(np.arange(9), np.array([0, 9])).values().shape)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("(9, 4)\n", "")


def test_a_damaged_graph_is_made_again(graph, members):
    folder = prepared_graph(members, "int8").folder
    whole = (folder / "graph.onnx.data").read_bytes()
    for name, damage in [("graph.onnx.data", whole[:-1]), ("record.json", b"{}")]:
        (folder / name).write_bytes(damage)
        again = prepared_graph(members, "int8")
        assert again.folder == folder
        assert (folder / "graph.onnx.data").read_bytes() == whole
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_workers_that_want_the_same_graph_make_one(graph, members, monkeypatch):
    calls: list[Path] = []
    real = onnx_graph.quantize
    monkeypatch.setattr(onnx_graph, "quantize", lambda source, folder: (calls.append(folder), real(source, folder)))
    folder = prepared_graph(members, "int8").folder
    (folder / "record.json").unlink()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: prepared_graph(members, "int8").folder, range(3)))
    assert found == [folder] * 3
    assert len(calls) == 1


def test_an_int8_graph_that_flips_too_many_decisions_is_refused_and_not_kept(graph, members, monkeypatch):
    folder = prepared_graph(members, "int8").folder
    (folder / "record.json").unlink()
    monkeypatch.setattr(onnx_graph, "MOST_FLIPPED", 0.0)
    with pytest.raises(GraphRefused, match=r"does not agree .* decisions differ .* score.backend=onnx or torch"):
        OnnxBackend(members, precision="int8")
    assert not (folder / "record.json").exists()


@pytest.mark.parametrize(
    ("precision", "change", "is_refused"),
    [
        ("fp32", {"max_difference": 9e-4, "decision_flips": 90}, False),
        ("fp32", {"max_difference": 2e-3}, True),
        ("fp32", {"finite": False}, True),
        ("int8", {"max_difference": 3.0, "decision_flips": 50}, False),
        ("int8", {"decision_flips": 51}, True),
        ("int8", {"finite": False}, True),
    ],
)
def test_limits_of_a_graph(members, precision, change, is_refused):
    fine = {"finite": True, "max_difference": 0.0, "decision_flips": 0, "step_flips": 0}
    found = LogitAgreement(tokens=1000, decisions=1000, **(fine | change))
    if not is_refused:
        return check_limits(members, precision, found)
    with pytest.raises(GraphRefused, match=r"set score.backend="):
        check_limits(members, precision, found)


def test_without_onnxruntime_the_extra_is_named(members, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'tokensieve\[onnx\]'"):
        build_backend("onnx", members, device="cpu", dtype="float32", threads=1, token_budget=4096)


def test_without_the_exporter_a_new_graph_is_refused_and_the_extra_named(members, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENSIEVE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"needs onnxscript: pip install 'tokensieve\[onnx\]'"):
        OnnxBackend(members, precision="fp32")
