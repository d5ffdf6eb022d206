"""The verbs `mix plan` and `mix write` as a user calls them, and the mixes that come along."""

import json
import subprocess
import sys

import pytest

from tests.mixes import CLEAN_IDS, TOXIC_IDS, made_up, write_source
from tokensieve.jobs import mix
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.errors import ConfigError
from tokensieve.pretrain.mix.config import MixConfig
from tokensieve.pretrain.shards.manifest import Manifest


def tokensieve(*arguments: str, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tokensieve.jobs.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two tables, as the bundled mixes name them, below the working folder."""
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "out" / "clean" / "shards", made_up("clean", CLEAN_IDS, 800))
    write_source(tmp_path / "out" / "toxic" / "shards", made_up("toxic", TOXIC_IDS, 400, seed=2))
    return tmp_path


@pytest.mark.parametrize("percent", [0, 5, 10, 15, 20, 25])
def test_the_bundled_mixes_realise_the_papers_ratios(tables, percent):
    config = load_section(MixConfig, f"mix/toxic_{percent:02d}")
    planned = mix.plan(config)
    shares = {one["name"]: one["share"] for one in planned["sources"]}
    assert list(shares) == (["clean", "toxic"] if percent else ["clean"])
    assert sum(shares.values()) == pytest.approx(1)
    assert abs(shares.get("toxic", 0.0) - percent / 100) <= 0.001
    written = mix.write(config)
    assert written["out"] == f"out/mix/toxic_{percent:02d}"
    assert (tables / written["out"] / "blend.json").is_file()


def test_a_plan_is_printed_and_a_mix_written_from_the_command_line(tables, repository):
    out = tables / "out"
    overrides = [f"clean.tables={out}/clean", f"sources.toxic.tables={out}/toxic", f"out={out}/mix", "output=shards"]
    planned = tokensieve("mix", "plan", "--config", "mix/toxic_10", *overrides, "--json", cwd=repository)
    assert planned.returncode == 0, planned.stderr
    counts = json.loads(planned.stdout)
    assert not (out / "mix").exists()
    assert counts["sources"][1]["requested"] == 0.1
    written = tokensieve("mix", "write", "--config", "mix/toxic_10", *overrides, cwd=repository)
    assert written.returncode == 0, written.stderr
    manifest = Manifest.load(out / "mix")
    head, clean, toxic, total, *_, last = written.stdout.splitlines()
    assert head.split() == ["source", "documents", "tokens", "loss-bearing", "share", "asked", "passes"]
    assert clean.split()[:3] == ["clean", "800", f"{counts['sources'][0]['tokens']:,}"]
    assert (toxic.split()[0], toxic.split()[5]) == ("toxic", "10.000%")
    assert total.split()[1:] == [f"{n:,}" for n in (manifest.documents, manifest.tokens, manifest.loss_tokens)]
    assert last == f"wrote {manifest.id} to {out}/mix"


def test_a_wrong_mix_exits_with_two_and_says_what_to_do(tables, repository):
    out = tables / "out"
    overrides = [f"clean.tables={out}/clean", f"sources.toxic.tables={out}/toxic"]
    done = tokensieve("mix", "plan", "--config", "mix/toxic_25", *overrides, "sources.toxic.share=0.5", cwd=repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert "are missing; lower the share or clean.tokens, set repeats: allow" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_key_names_the_nearest_one():
    with pytest.raises(ConfigError, match="unknown key shareof; did you mean share_of"):
        load_section(MixConfig, "mix/toxic_10", ["shareof=clean"])
    with pytest.raises(ConfigError, match=r"did you mean sources.toxic.repeats"):
        load_section(MixConfig, "mix/toxic_10", ["sources.toxic.repeat=allow"])
