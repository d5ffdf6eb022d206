"""What `label sae export` writes says what sae-lens says, and what cannot be sliced exactly is refused by name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from tests.tiny_sae import LATENTS, WIDTH, tiny_jumprelu
from tokensieve.jobs.cli import app
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.labelling.sae import export
from tokensieve.udfs.sae import cut_slice
from tokensieve.udfs.sae.slice import SaeSlice

sae_lens = pytest.importorskip("sae_lens")
X_TD = torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(5)) * 3
KEPT = (2, 30, 63)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., LabelConfig]:
    def make(*overrides: str) -> LabelConfig:
        file = tmp_path / "project.yaml"
        file.write_text(
            f"source: {{path: {tmp_path}}}\ntables: {{root: {tmp_path / 'tables'}}}\npolicy: medicine\n"
            f"sae: {{model: google/gemma-2-9b}}\n"
        )
        return load_section(LabelConfig, str(file), overrides)

    return make


def configured(folder: Path, **change: object) -> Path:
    """Changes what cfg.json of a saved SAE says."""
    content = json.loads((folder / "cfg.json").read_text())
    metadata = content["metadata"] | change.pop("metadata", {})  # type: ignore[operator]
    (folder / "cfg.json").write_text(json.dumps(content | change | {"metadata": metadata}))
    return folder


@pytest.mark.parametrize("bias_in_input", [False, True])
def test_slice_encodes_as_sae_lens_does_and_fires_on_the_same_tokens(project, tmp_path, bias_in_input):
    folder = tiny_jumprelu(tmp_path / "sae", layer=1, apply_b_dec_to_input=bias_in_input)
    result = export.run(project(f"sae.path={folder}", "sae.latents=[30,2,63]"))
    kept = SaeSlice.load(result["slice"])
    assert kept.latent_id_K.tolist() == list(KEPT)
    with torch.no_grad():
        whole_TK = sae_lens.SAE.load_from_disk(folder).encode(X_TD)[:, KEPT]
    ours_TK = kept.encode(X_TD)
    assert (whole_TK > 0).sum() > 50
    assert ((whole_TK > 0) == (ours_TK > 0)).all()
    assert torch.allclose(whole_TK, ours_TK, atol=1e-5)


def test_slice_says_where_it_comes_from(project, tmp_path):
    folder = tiny_jumprelu(tmp_path / "sae", layer=2, hook="attn.hook_z", width=48)
    configured(folder, metadata={"neuronpedia_id": "tiny/2-att"})
    result = export.run(project(f"sae.path={folder}"))
    spec = SaeSlice.load(result["slice"]).spec
    assert (spec.layer, spec.hook, spec.d_in, spec.d_sae) == (2, "att", 48, LATENTS)
    assert (spec.model, spec.prepend_bos, spec.neuronpedia_id) == ("tiny-gemma", True, "tiny/2-att")
    assert result["latents"] == result["of"] == LATENTS
    assert result["slice"] == str(tmp_path / "tables" / "sae" / "slice.safetensors")


def test_relu_sae_has_thresholds_of_zero(project, tmp_path):
    config = tiny_config(sae_lens.StandardSAEConfig)
    sae = sae_lens.StandardSAE(config)
    with torch.no_grad():
        sae.b_enc.uniform_(-0.5, 0.5)
    sae.save_model(str(tmp_path / "sae"))
    kept = SaeSlice.load(export.run(project(f"sae.path={tmp_path / 'sae'}"))["slice"])
    assert kept.spec.architecture == "standard"
    assert kept.threshold_K.tolist() == [0.0] * LATENTS
    with torch.no_grad():
        assert torch.allclose(kept.encode(X_TD), sae.encode(X_TD), atol=1e-5)


def tiny_config(kind, **more):
    from sae_lens.saes.sae import SAEMetadata

    metadata = SAEMetadata(model_name="m", hook_name="blocks.1.hook_resid_post", prepend_bos=True)
    return kind(d_in=WIDTH, d_sae=LATENTS, dtype="float32", device="cpu", metadata=metadata, **more)


@pytest.mark.parametrize(
    ("kind", "more", "why"),
    [("TopK", {"k": 4}, "depends on all the others"), ("Gated", {}, "a gate and a magnitude")],
)
def test_architecture_whose_slice_is_not_exact_is_refused(project, tmp_path, kind, more, why):
    config = tiny_config(getattr(sae_lens, f"{kind}SAEConfig"), **more)
    getattr(sae_lens, f"{kind}SAE")(config).save_model(str(tmp_path / "sae"))
    with pytest.raises(InputError, match=f"architecture {kind.lower()} cannot be sliced: .*{why}.*; choose a jumprelu"):
        export.run(project(f"sae.path={tmp_path / 'sae'}"))
    assert not (tmp_path / "tables").exists()


def test_every_architecture_that_sae_lens_knows_is_sliced_or_refused_with_a_reason():
    from sae_lens.registry import SAE_CLASS_REGISTRY

    assert set(SAE_CLASS_REGISTRY) - {"jumprelu", "standard"} <= set(cut_slice.REFUSED)


def test_other_hooks_normalised_inputs_and_silence_about_bos_are_refused(project, tmp_path):
    folder = tiny_jumprelu(tmp_path / "sae", layer=1)
    config = project(f"sae.path={folder}")
    configured(folder, normalize_activations="layer_norm")
    with pytest.raises(InputError, match=r"normalises its input \(layer_norm\)"):
        export.run(config)
    configured(folder, normalize_activations="none", metadata={"hook_name": "blocks.1.hook_resid_pre"})
    with pytest.raises(InputError, match=r"reads blocks\.1\.hook_resid_pre; we read hook_resid_post"):
        export.run(config)
    configured(folder, metadata={"hook_name": "blocks.1.hook_resid_post", "prepend_bos": None})
    with pytest.raises(InputError, match="does not say prepend_bos"):
        export.run(config)


def test_slice_that_disagrees_with_the_whole_sae_is_not_written(project, tmp_path, monkeypatch):
    folder = tiny_jumprelu(tmp_path / "sae", layer=1)
    scaled = SaeSlice.encode
    monkeypatch.setattr(SaeSlice, "encode", lambda self, x_TD: scaled(self, x_TD * 1.1))
    with pytest.raises(InputError, match="does not say what the whole SAE says"):
        export.run(project(f"sae.path={folder}"))


def test_latents_come_from_a_list_or_a_file(project, tmp_path):
    folder = tiny_jumprelu(tmp_path / "sae", layer=1)
    (tmp_path / "chosen.json").write_text('{"latents": [9, 4]}')
    pq.write_table(pa.table({"latent_id": pa.array([5, 1, 5], pa.int32())}), tmp_path / "chosen.parquet")
    (tmp_path / "empty.json").write_text("[]")
    for name, expected in (("chosen.json", [4, 9]), ("chosen.parquet", [1, 5])):
        result = export.run(project(f"sae.path={folder}", f"sae.latents={tmp_path / name}"))
        assert SaeSlice.load(result["slice"]).latent_id_K.tolist() == expected
    for given, why in (("[64]", "64 is too high, the SAE has 64"), (f"{tmp_path}/empty.json", "no latents")):
        with pytest.raises(InputError, match=why):
            export.run(project(f"sae.path={folder}", f"sae.latents={given}"))
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        export.run(project(f"sae.path={folder}", f"sae.latents={tmp_path}/none.json"))


def test_what_cannot_be_loaded_is_a_named_error(project, tmp_path):
    with pytest.raises(ConfigError, match="export needs `release` and `sae_id`, or `path`"):
        export.run(project())
    with pytest.raises(InputError, match=r"sae\.path .*sae-lens cannot load it"):
        export.run(project(f"sae.path={tmp_path / 'none'}"))
    with pytest.raises(InputError, match=r"release gemma-scope-90b, sae_id x: sae-lens cannot load it: .*not found"):
        export.run(project("sae.release=gemma-scope-90b", "sae.sae_id=x"))
    with pytest.raises(InputError, match=r"layer_99.* not found in release gemma-scope-9b-pt-res-canonical"):
        export.run(project("sae.release=gemma-scope-9b-pt-res-canonical", "sae.sae_id=layer_99/width_16k/canonical"))


def test_missing_sae_lens_names_the_extra(project, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(InputError, match=r"sae_lens is not installed here; pip install 'tokensieve\[sae\]'"):
        export.run(project(f"sae.path={tmp_path}"))


def test_command_line_prints_the_slice_and_exits_with_2_on_a_wrong_sae(project, tmp_path):
    project()  # writes the file
    command = ["label", "sae", "export", "--json", "--config", str(tmp_path / "project.yaml")]
    folder = tiny_jumprelu(tmp_path / "sae", layer=1)
    done = CliRunner().invoke(app, [*command, f"sae.path={folder}", "sae.latents=[1,2]"])
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["latents"] == 2
    done = CliRunner().invoke(app, [*command, f"sae.path={folder}", "sae.latents=[99]"])
    assert done.exit_code == 2
    assert "tokensieve: sae.latents: 99 is too high" in done.stderr


def test_section_that_contradicts_itself_is_refused(project):
    for overrides, why in (
        (["sae.release=a"], "release and sae_id come together"),
        (["sae.release=a", "sae.sae_id=b", "sae.path=c"], "not both"),
        (["sae.revision=main"], "a branch or a tag moves; give the commit"),
        (["sae.window=100", "sae.margin=50"], "more than twice the margin"),
        (["sae.cross_check=sae"], "cross_check names the label set that this verb writes"),
        (["sae.latent=3"], r"did you mean sae\.latents"),
    ):
        with pytest.raises(ConfigError, match=why):
            project(*overrides)


def test_source_hash_is_of_the_whole_encoder(project, tmp_path):
    one = export.run(project(f"sae.path={tiny_jumprelu(tmp_path / 'one', layer=1)}", "sae.latents=[1]"))
    first = SaeSlice.load(one["slice"])
    other = export.run(project(f"sae.path={tiny_jumprelu(tmp_path / 'two', layer=1, seed=9)}", "sae.latents=[1]"))
    assert first.spec.source_sha256 != SaeSlice.load(other["slice"]).spec.source_sha256
    assert np.array_equal(first.latent_id_K, [1])
