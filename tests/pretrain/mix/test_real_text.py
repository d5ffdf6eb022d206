"""Six ratios on real text: short toxic posts beside long documents, with the demo's tokenizer."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.mixes import Document, mix_config, write_source, written_documents
from tokensieve.pretrain.mix.plan import plan_mix
from tokensieve.pretrain.mix.write import write_mix
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@pytest.fixture(scope="module")
def real(shared_data, repository, tmp_path_factory):
    """`clean`: 150 documents of the corpus; `toxic`: 6,000 posts, tokenized and written as shards."""
    root = tmp_path_factory.mktemp("real")
    file = repository / "conf" / "demo" / "tokenizer.json"
    tokenizer = ByteTokenizer.load(file)
    eod = tokenizer.token_id("<|endoftext|>")
    assert eod is not None
    for name, path, count in (
        ("clean", shared_data / "corpus" / "train-00000-of-00012.parquet", 150),
        ("toxic", shared_data / "toxic" / "mix-00000-of-00001.parquet", 6000),
    ):
        rows = pq.read_table(path, columns=["id", "text"]).slice(0, count)
        tokens = tokenizer.encode(rows["text"].to_pylist())
        ids_N = np.split(tokens.ids_T, tokens.bounds_D1[1:-1])
        documents = [
            Document(doc_id=doc_id, ids=[*ids_T.tolist(), eod]) for doc_id, ids_T in zip(rows["id"].to_pylist(), ids_N)
        ]
        half = count // 2
        write_source(root / name, documents[:half], documents[half:], tokenizer=file, eod=eod, vocab=8320)
    return root


@pytest.mark.parametrize("share_of", ["total", "clean"])
def test_the_papers_six_ratios_are_realised_on_real_text(real, share_of):
    for share in (0.0, 0.05, 0.10, 0.15, 0.20, 0.25):
        for output in ("blend", "shards"):
            plan, _ = plan_mix(mix_config(real, share, share_of=share_of, output=output))
            assert [abs(one.share - share) <= 0.001 for one in plan.sources[1:]] == [True] * (share > 0)


def test_a_mix_of_real_text_holds_every_token_of_its_documents(real):
    written = write_mix(mix_config(real, 0.10))
    assert verify_shards(Manifest.load(real / "mix"), real / "mix") == []
    originals = {row["doc_id"]: row["ids"] for name in ("clean", "toxic") for row in written_documents(real / name)}
    rows = written_documents(real / "mix")
    assert all(row["ids"] == originals[row["doc_id"]] for row in rows)
    toxic = sum(len(row["ids"]) for row in rows if row["source"] == "toxic")
    assert toxic == written.plan.sources[1].tokens
    assert abs(toxic / written.plan.tokens - 0.10) <= 0.001
