"""Reading a document out of shards as text: characters stay whole, hidden ids have a name."""

import hashlib
import shutil

import numpy as np
import pytest

from tokensieve.jobs.exporting.read_back import Place, Shards
from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard import ShardWriter, token_dtype
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

TEXT = "a 👩‍⚕️ is\ufffd\ufffd here"


@pytest.fixture(params=[1, 5000], ids=["hidden id of the tokenizer", "hidden id past its vocabulary"])
def shards(request, tmp_path, repository):
    """One document, tokenized by the demo's tokenizer, its last token before eod hidden."""
    shutil.copy(repository / "conf/demo/tokenizer.json", tmp_path / "tokenizer.json")
    tokenizer = ByteTokenizer.load(tmp_path / "tokenizer.json")
    hidden = tokenizer.token_id("<|hidden|>") if request.param == 1 else request.param
    assert hidden is not None
    ids_T = np.append(tokenizer.encode([TEXT]).ids_T, [hidden, 0])
    mask_T = (ids_T != hidden).astype(np.uint8)
    with ShardWriter(tmp_path / "shard-0", token_dtype(5001)) as writer:
        writer.add(ids_T, mask_T, np.array([len(ids_T)]))
        stats = writer.close()
    info = ShardInfo(
        prefix="shard-0",
        docs="docs/shard-0.parquet",
        documents=1,
        tokens=stats.tokens,
        loss_tokens=stats.loss_tokens,
        sha256=stats.sha256,
    )
    digest = hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    Manifest(
        tokenizer=TokenizerInfo(
            file="tokenizer.json",
            sha256=digest,
            vocab_size=tokenizer.vocab_size,
            eod=0,
            hidden_id=hidden,
            padded_vocab_size=5120,
        ),
        shards=(info,),
        inputs=Inputs(rule_id="r", policies={}, bundles={}, source_table={}, seed=0),
        documents=1,
        tokens=stats.tokens,
        loss_tokens=stats.loss_tokens,
    ).save(tmp_path)
    return Shards(tmp_path)


def test_groups_are_the_text_with_no_character_cut(shards):
    exported = shards.read(Place(shard="shard-0", index=0))
    groups = shards.groups(exported)
    assert "".join(group.text for group in groups) == TEXT + "<|hidden|><|endoftext|>"
    assert [group.first for group in groups] == [0, *(group.end for group in groups[:-1])]
    assert groups[-1].end == len(exported.ids_T)


def test_a_window_that_begins_inside_a_character_begins_before_it(shards):
    exported = shards.read(Place(shard="shard-0", index=0))
    inside = next(group for group in shards.groups(exported) if group.end - group.first > 1)
    first = shards.groups(exported, inside.first + 1)[0]
    assert first.first == inside.first
    assert "\ufffd" not in first.text
