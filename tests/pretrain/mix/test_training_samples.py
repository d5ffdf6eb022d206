"""What training reads of a mix: both outputs hold the sources in the planned shares, counted token by token."""

import pytest

pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from tests.mixes import mix_config, tokens_by_source
from tokensieve.pretrain.mix.write import write_mix
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.training_samples import build_datasets

SEQ_LENGTH = 32


@pytest.mark.parametrize("output", ["blend", "shards"])
@pytest.mark.parametrize(
    ("share_of", "shares"), [("total", (0.0, 0.05, 0.10, 0.15, 0.20, 0.25)), ("clean", (0.05, 0.25))]
)
def test_training_samples_hold_the_planned_shares(sources, tmp_path, share_of, shares, output):
    for share in shares:
        folder = tmp_path / str(share)
        write_mix(mix_config(sources, share, out=str(folder), share_of=share_of, output=output))
        count = Corpus.load(folder).samples_per_epoch(SEQ_LENGTH)
        samples = build_datasets(folder, seq_length=SEQ_LENGTH, samples=count, seed=3)
        found = tokens_by_source(samples, count)
        realised = found.get("toxic", 0.0) / (1.0 if share_of == "total" else found["clean"])
        assert abs(realised - share) <= 0.001, (share, found)


def test_a_part_of_a_pass_of_the_clean_source_is_a_blends_epoch(sources, tmp_path):
    clean = {"shards": str(sources / "clean"), "tokens": 30_000}
    write_mix(mix_config(sources, 0.25, out=str(tmp_path / "mix"), output="blend", clean=clean))
    assert Corpus.load(tmp_path / "mix").samples_per_epoch(SEQ_LENGTH) == pytest.approx(40_000 / SEQ_LENGTH, rel=0.01)
