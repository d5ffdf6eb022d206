"""A bundle is what its bundle.json says, or it is refused by name."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.bundles import random_bundle
from tokensieve.udfs.bundles.bundle import Bundle, resolve
from tokensieve.udfs.bundles.bundle_checks import BundleError

SHIPPED = "medicine-tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundles") / "small", texts=["blood and bone " * 20])


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return Path(shutil.copytree(made.path, tmp_path / "copy"))


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.load(resolve(SHIPPED))


def test_saved_weights_come_back_rounded_to_float16(made):
    encoder = made.encoder()
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    assert all(torch.equal(w, w.to(torch.float16).float()) for w in encoder.parameters())
    assert made.encoder(dtype=torch.bfloat16).embedding.weight.dtype == torch.bfloat16
    features = encoder(torch.tensor([1, 2]), torch.tensor([0, 2]))
    assert features.shape == (2, 16)
    assert made.heads()(features).shape == (2, 2)


def test_a_saved_bundle_can_be_read_by_every_user(made):
    assert made.path.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in made.path.iterdir()} == {0o644}


def test_bundle_id_is_over_canonical_json_and_does_not_see_layout(copy, made):
    path = copy / "bundle.json"
    content = json.loads(path.read_text())
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made.bundle_id == hashlib.sha256(canonical.encode()).hexdigest()[:16]
    path.write_text(json.dumps(content, sort_keys=True, indent=8))
    assert Bundle.load(copy).bundle_id == made.bundle_id


@pytest.mark.parametrize("name", ["encoder.safetensors", "heads.safetensors", "tokenizer.json"])
def test_a_changed_byte_is_refused_with_the_file_and_both_hashes(copy, made, name):
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 1
    (copy / name).write_bytes(data)
    found = hashlib.sha256(data).hexdigest()
    with pytest.raises(BundleError, match=f"{name}.*{found}.*{made.spec.files[name]}"):
        Bundle.load(copy)


def test_a_missing_file_is_refused_by_name(copy):
    (copy / "heads.safetensors").unlink()
    with pytest.raises(BundleError, match=r"heads\.safetensors is missing"):
        Bundle.load(copy)


def test_a_folder_without_bundle_json_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"has no bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"treshold": 0.5}, {"files": {"../x": "0"}}, {"window": "wide"}],
)
def test_unknown_format_key_or_file_name_is_refused(copy, change):
    path = copy / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match="is not in the format tokensieve-bundle/2"):
        Bundle.load(copy)


def test_a_bundle_of_the_former_format_says_what_to_do(copy):
    path = copy / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "tokensieve-bundle/1"}))
    with pytest.raises(BundleError, match="this version reads tokensieve-bundle/2; fit the classifier again"):
        Bundle.load(copy)


def test_encoder_id_is_shared_by_bundles_that_differ_in_their_heads_alone(tmp_path):
    one, two = random_bundle(tmp_path / "one", seed=1), random_bundle(tmp_path / "two", seed=2)
    other = random_bundle(tmp_path / "other", seed=1, encoder_seed=9)
    assert one.encoder_id == two.encoder_id != other.encoder_id
    assert len({one.bundle_id, two.bundle_id, other.bundle_id}) == 3


def test_saving_again_replaces_the_bundle_and_leaves_nothing_beside_it(tmp_path):
    first = random_bundle(tmp_path / "here" / "bundle", seed=1)
    second = random_bundle(tmp_path / "here" / "bundle", seed=2)
    assert first.bundle_id != second.bundle_id == Bundle.load(tmp_path / "here" / "bundle").bundle_id
    folders = [path.name for path in (tmp_path / "here").iterdir() if path.is_dir()]
    assert folders == ["bundle"]


def test_a_path_that_exists_wins_over_an_installed_name(made):
    assert resolve(str(made.path)) == made.path


def test_an_unknown_name_is_refused_with_the_installed_ones():
    with pytest.raises(BundleError, match=f"'medicin'.*installed: .*{SHIPPED}"):
        resolve("medicin")


def test_a_bundle_is_found_and_unpacked_when_the_code_runs_from_a_zip(made, repository, tmp_path):
    archive = tmp_path / "wheel.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(repository / "tokensieve/__init__.py", "tokensieve/__init__.py")
        for path in (repository / "udfs").rglob("*.py"):
            file.write(path, "tokensieve" / path.relative_to(repository))
        for path in made.path.iterdir():
            file.write(path, f"tokensieve/conf/classifiers/zipped/{path.name}")
    code = "from tokensieve.udfs.bundles import bundle as b; p = b.resolve('zipped'); "
    code += "print(b.__file__, p, b.Bundle.load(p).bundle_id)"
    # -I keeps the checkout off the path; the zip goes first on it.
    program = f"import sys; sys.path.insert(0, {str(archive)!r}); {code}"
    command = [sys.executable, "-I", "-c", program]
    here = {"TMPDIR": str(tmp_path)}
    runs = [subprocess.run(command, check=True, capture_output=True, text=True, env=here).stdout.split() for _ in "12"]
    assert runs[0] == runs[1]
    source, folder, bundle_id = runs[0]
    assert source.startswith(str(archive))
    assert Path(folder).is_dir()
    assert bundle_id == made.bundle_id


def test_the_shipped_bundle_is_small_complete_and_has_a_card(shipped):
    assert sum(path.stat().st_size for path in shipped.path.iterdir()) <= 8_000_000
    assert sorted(path.name for path in shipped.path.iterdir()) == [
        "README.md", "bundle.json", "calibration.json", "encoder.safetensors", "heads.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert set(shipped.spec.thresholds) == {"token", "document"}
    assert shipped.tokenizer().vocab_size == shipped.spec.encoder["vocab_size"] == 8192


def test_the_shipped_bundle_s_receptive_field_fits_its_margin(shipped):
    encoder = shipped.encoder()
    assert encoder.config.layers * encoder.config.reach <= shipped.margin


def test_the_shipped_bundle_has_only_licences_that_its_own_allows(shipped):
    for source in shipped.spec.training_data:
        assert "SA" not in source.license
        assert "ODC" not in source.license


@pytest.mark.parametrize(
    ("where", "baseline"),
    [
        ("heldout.token", "word"),
        ("heldout.token", "lexicon"),
        ("heldout.token.against_biology", "passage"),
        ("craft.disease_in_biology", "word"),
        ("craft.disease_in_biology", "lexicon"),
        ("craft.disease_in_biology", "passage"),
        ("bc5cdr.spans_against_negatives", "word"),
        ("bc5cdr.spans_in_abstracts", "lexicon"),
    ],
)
def test_the_shipped_bundle_leads_lexicon_baselines_beyond_chance(shipped, where, baseline):
    """AUROC of tokens, the interval of the paired difference over documents. Its card says where it does not lead."""
    metrics = shipped.spec.metrics
    assert metrics[f"{where}.model_minus_{baseline}.auroc.low"] > 0


def test_the_shipped_bundle_scores_a_medical_passage_above_its_surroundings(shipped):
    before = "The river crosses the old town, where merchants sold cloth and grain in the covered market. "
    medical = "Patients with severe hypertension were treated with antihypertensive drugs to prevent stroke. "
    text = before * 2 + medical + before * 2
    tokens = shipped.tokenizer().encode([text])
    features = shipped.encoder()(torch.from_numpy(tokens.ids_T).long(), torch.from_numpy(tokens.bounds_D1))
    logits_T = shipped.heads()(features)[:, 0]
    ends_T = torch.from_numpy(tokens.bytes_T).cumsum(0)
    inside_T = (ends_T > 2 * len(before)) & (ends_T <= 2 * len(before) + len(medical))
    assert logits_T[inside_T].mean() > logits_T[~inside_T].mean() + 3


def test_a_preset_is_found_by_its_name_or_its_place_in_the_checkout_from_any_folder(tmp_path, monkeypatch):
    by_name = resolve(SHIPPED)
    monkeypatch.chdir(tmp_path)
    assert resolve(f"conf/classifiers/{SHIPPED}") == by_name
