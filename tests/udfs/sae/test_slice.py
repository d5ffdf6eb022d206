"""The slice of an SAE says what the whole SAE says, and a file that is not what it was is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tokensieve.udfs.sae.slice import SaeError, SaeSlice, SaeSpec


def made(latents: tuple[int, ...] = (1, 4, 6), seed: int = 0) -> SaeSlice:
    draw = np.random.default_rng(seed)
    spec = SaeSpec(
        architecture="jumprelu", layer=2, hook="res", d_in=5, d_sae=8, prepend_bos=True, source_sha256="0" * 64
    )
    return SaeSlice(
        spec=spec,
        weight_KD=draw.normal(size=(len(latents), 5)).astype(np.float32),
        bias_K=draw.normal(size=len(latents)).astype(np.float32),
        threshold_K=np.full(len(latents), 0.5, np.float32),
        latent_id_K=np.array(latents, np.int32),
    )


def with_metadata(path: Path, change: dict[str, object], drop: str | None = None) -> Path:
    """Writes the file again with another header or without a tensor."""
    with safe_open(str(path), framework="numpy") as file:
        header = json.loads(file.metadata()["tokensieve"]) | change
        tensors = {key: file.get_tensor(key) for key in file.keys() if key != drop}  # noqa: SIM118
    save_file(tensors, path, metadata={"tokensieve": json.dumps(header)})
    return path


def test_activation_is_the_preactivation_above_the_threshold_and_above_zero():
    spec = SaeSpec(
        architecture="jumprelu", layer=0, hook="res", d_in=1, d_sae=3, prepend_bos=False, source_sha256="0" * 64
    )
    one = SaeSlice(
        spec=spec,
        weight_KD=np.array([[1.0], [1.0], [-1.0]], np.float32),
        bias_K=np.array([0.0, 1.0, 0.0], np.float32),
        threshold_K=np.array([2.0, -5.0, 0.0], np.float32),
        latent_id_K=np.arange(3, dtype=np.int32),
    )
    assert one.encode(torch.tensor([[2.0], [3.0], [-1.5]])).tolist() == [
        [0.0, 3.0, 0.0],  # 2 is not above 2
        [3.0, 4.0, 0.0],
        [0.0, 0.0, 1.5],  # -0.5 is above the threshold -5, not above 0
    ]


def test_saved_slice_reads_back_and_equal_slices_have_equal_bytes(tmp_path):
    made().save(tmp_path / "deep" / "a.safetensors")
    made().save(tmp_path / "b.safetensors")
    again = SaeSlice.load(tmp_path / "deep" / "a.safetensors")
    assert again.slice_id == made().slice_id != made(seed=1).slice_id
    assert again.spec == made().spec
    assert again.weight_KD.tolist() == made().weight_KD.tolist()
    assert (tmp_path / "deep" / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_sub_slice_encodes_as_the_slice_does_and_names_latents_that_are_missing():
    x_TD = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    whole, part = made(), made().where([6, 1])
    assert part.latent_id_K.tolist() == [1, 6]
    assert torch.allclose(part.encode(x_TD), whole.encode(x_TD)[:, [0, 2]])
    assert part.slice_id != whole.slice_id
    with pytest.raises(SaeError, match=r"has no latents \[2, 7\]; it keeps 3 of 8"):
        whole.where([1, 2, 7])


def test_tensors_that_do_not_fit_each_other_are_refused():
    good = made()
    arrays = {"bias_K": good.bias_K, "threshold_K": good.threshold_K, "latent_id_K": good.latent_id_K}
    with pytest.raises(SaeError, match=r"W is \[3, 4\], but 3 latents of width 5"):
        SaeSlice(spec=good.spec, weight_KD=good.weight_KD[:, :4], **arrays)
    with pytest.raises(SaeError, match=r"must ascend within 0\.\.7"):
        SaeSlice(spec=good.spec, weight_KD=good.weight_KD, **arrays | {"latent_id_K": np.array([1, 4, 8])})


def test_missing_foreign_and_changed_files_are_named_errors(tmp_path):
    path = tmp_path / "slice.safetensors"
    with pytest.raises(SaeError, match="no such SAE slice; run `tokensieve label sae export`"):
        SaeSlice.load(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(SaeError, match="not a safetensors file"):
        SaeSlice.load(path)
    save_file({"W": np.zeros((1, 1))}, path)
    with pytest.raises(SaeError, match="not an SAE slice of ours"):
        SaeSlice.load(path)
    made().save(path)
    with pytest.raises(SaeError, match="lacks threshold; export the slice again"):
        SaeSlice.load(with_metadata(path, {}, drop="threshold"))
    made().save(path)
    with pytest.raises(SaeError, match="metadata is not of tokensieve-sae/1"):
        SaeSlice.load(with_metadata(path, {"format": "tokensieve-sae/9"}))
    made().save(path)
    data = bytearray(path.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1  # the first byte after the header: a weight
    path.write_bytes(data)
    with pytest.raises(SaeError, match="changed after it was written"):
        SaeSlice.load(path)
