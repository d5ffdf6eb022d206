"""The shard format against Megatron's own builder and reader, byte for byte and document for document."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.pretrain.shards.check import DocumentTooLongError, EmptyDocumentError, MaskLengthError, TokenIdError
from tokensieve.pretrain.shards.megatron_index import CorruptShardError, ShardError
from tokensieve.pretrain.shards.shard import SUFFIXES, ShardReader, ShardWriter, shard_file, token_dtype

IDS = np.array([5, 6, 7, 0, 8, 0, 9, 10, 11, 12, 0], dtype=np.int32)
MASK = np.array([1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1], dtype=np.uint8)
LENGTHS = np.array([4, 2, 5], dtype=np.int64)


def write(prefix: Path, ids_T, mask_T, lengths_D, dtype=np.uint16, splits=()) -> None:
    """Write documents in the batches that `splits` (document numbers) cut."""
    cuts = [0, *sorted(splits), len(lengths_D)]
    ends = np.concatenate([[0], np.cumsum(lengths_D)])
    with ShardWriter(prefix, np.dtype(dtype)) as writer:
        for start, stop in itertools.pairwise(cuts):
            tokens = slice(int(ends[start]), int(ends[stop]))
            writer.add(ids_T[tokens], mask_T[tokens], lengths_D[start:stop])


def files(prefix: Path) -> dict[str, bytes]:
    return {suffix: shard_file(prefix, suffix).read_bytes() for suffix in SUFFIXES}


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_token_files_are_byte_identical_with_megatrons_builder(tmp_path, dtype):
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    torch = pytest.importorskip("torch", reason="needs torch")
    rng = np.random.default_rng(0)
    lengths_D = rng.integers(1, 200, 300)
    ids_T = rng.integers(0, np.iinfo(dtype).max, lengths_D.sum())
    mask_T = rng.integers(0, 2, lengths_D.sum())
    write(tmp_path / "ours", ids_T, mask_T, lengths_D, dtype)
    for name, values_T, kind in (("theirs", ids_T, dtype), ("theirs_mask", mask_T, np.uint8)):
        builder = indexed.IndexedDatasetBuilder(str(tmp_path / f"{name}.bin"), dtype=kind)
        for part in np.split(values_T, np.cumsum(lengths_D)[:-1]):
            builder.add_document(torch.from_numpy(part.astype(np.int64)), [len(part)])
        builder.finalize(str(tmp_path / f"{name}.idx"))
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")


def test_megatrons_own_reader_returns_the_documents(tmp_path):
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    write(tmp_path / "s", IDS, MASK, LENGTHS)
    dataset = indexed.IndexedDataset(str(tmp_path / "s"))
    assert [dataset[i].tolist() for i in range(3)] == [[5, 6, 7, 0], [8, 0], [9, 10, 11, 12, 0]]
    mask = indexed.IndexedDataset(str(tmp_path / "s_mask"))
    assert [mask[i].tolist() for i in range(3)] == [[1, 0, 0, 1], [1, 1], [0, 0, 1, 1, 1]]


def test_index_file_has_the_documented_bytes(tmp_path):
    write(tmp_path / "s", IDS, MASK, LENGTHS)
    raw = (tmp_path / "s.idx").read_bytes()
    assert raw[:34].hex() == "4d4d494449445800000100000000000000080300000000000000" + "0400000000000000"
    assert np.frombuffer(raw, "<i4", 3, 34).tolist() == [4, 2, 5]
    assert np.frombuffer(raw, "<i8", 3, 46).tolist() == [0, 8, 12]
    assert np.frombuffer(raw, "<i8", 4, 70).tolist() == [0, 1, 2, 3]
    assert len(raw) == 102


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    splits=st.lists(st.integers(0, 20), max_size=6),
    seed=st.integers(0, 99),
)
def test_batches_of_any_size_give_the_same_bytes(tmp_path_factory, lengths, splits, seed):
    folder = tmp_path_factory.mktemp("splits")
    rng = np.random.default_rng(seed)
    lengths_D = np.array(lengths)
    ids_T, mask_T = rng.integers(0, 65_536, lengths_D.sum()), rng.integers(0, 2, lengths_D.sum())
    write(folder / "whole", ids_T, mask_T, lengths_D)
    write(folder / "parts", ids_T, mask_T, lengths_D, splits=[min(s, len(lengths)) for s in splits])
    assert files(folder / "whole") == files(folder / "parts")
    reader = ShardReader(folder / "parts")
    ends = np.cumsum(lengths_D)
    for d in range(len(lengths)):
        span = slice(int(ends[d] - lengths_D[d]), int(ends[d]))
        assert reader.ids(d).tolist() == ids_T[span].tolist()
        assert reader.loss_mask(d).tolist() == mask_T[span].tolist()


def test_stats_count_what_was_written_and_hash_the_files(tmp_path):
    import hashlib

    with ShardWriter(tmp_path / "run.0007", np.dtype(np.uint16)) as writer:
        writer.add(IDS, MASK.astype(bool), LENGTHS)
        stats = writer.close()
    assert (stats.documents, stats.tokens, stats.loss_tokens) == (3, 11, 7)
    on_disk = files(tmp_path / "run.0007")
    assert stats.sha256 == {suffix: hashlib.sha256(data).hexdigest() for suffix, data in on_disk.items()}
    assert writer.close() == stats


def test_reader_returns_ids_masks_and_lengths(tmp_path):
    write(tmp_path / "s", IDS, MASK, LENGTHS)
    reader = ShardReader(tmp_path / "s")
    assert (reader.documents, reader.tokens, reader.dtype) == (3, 11, np.dtype(np.uint16))
    assert reader.lengths_D.tolist() == [4, 2, 5]
    assert reader.ids(2).tolist() == [9, 10, 11, 12, 0]
    assert reader.loss_mask(0).tolist() == [1, 0, 0, 1]
    with pytest.raises(IndexError, match="document 3 of 3"):
        reader.ids(3)


@pytest.mark.parametrize(("vocab", "dtype"), [(65_499, np.uint16), (65_500, np.int32), (100_288, np.int32)])
def test_token_dtype_is_megatrons_choice(vocab, dtype):
    assert token_dtype(vocab) == np.dtype(dtype)


@pytest.mark.parametrize(
    ("ids", "mask", "lengths", "error", "message"),
    [
        (
            [1, 65_536, 0],
            [1, 1, 1],
            [1, 2],
            TokenIdError,
            r"token id 65536 in document 2 is outside 0\.\.65535",
        ),
        ([1, -3, 0], [1, 1, 1], [3], TokenIdError, "token id -3 in document 1"),
        ([1, 2, 0], [1, 1], [3], MaskLengthError, r"token ids \(3,\) but loss mask \(2,\)"),
        ([1, 2, 0], [1, 1, 1], [2], MaskLengthError, "lengths sum to 2 but there are 3"),
        ([1, 2, 0], [1, 2, 1], [3], MaskLengthError, "neither 0 nor 1"),
        ([1.0, 2.0, 0.0], [1, 1, 1], [3], TokenIdError, "token ids are float64, not integers"),
        ([1, 2, 0], [1, 0.5, 1], [3], MaskLengthError, "neither 0 nor 1"),
        ([1, 2, 0], [1, 1, 1], [3, 0], EmptyDocumentError, "document 2 has no tokens"),
        ([1, 2, 0], [1, 1, 1], [2**31], DocumentTooLongError, "document 1 has 2147483648 tokens"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name_and_leaves_no_file(tmp_path, ids, mask, lengths, error, message):
    def attempt() -> None:
        with ShardWriter(tmp_path / "s", np.dtype(np.uint16)) as writer:
            writer.add(np.array([7, 0]), np.array([1, 1]), np.array([2]))
            writer.add(np.array(ids), np.array(mask), np.array(lengths))

    with pytest.raises(error, match=message):
        attempt()
    assert list(tmp_path.iterdir()) == []


def test_shard_without_documents_is_refused(tmp_path):
    with pytest.raises(EmptyDocumentError, match="no documents"):
        ShardWriter(tmp_path / "s", np.dtype(np.uint16)).close()
    assert list(tmp_path.iterdir()) == []


def test_writer_that_cannot_finish_leaves_no_file(tmp_path, monkeypatch):
    def attempt() -> None:
        with ShardWriter(tmp_path / "s", np.dtype(np.uint16)) as writer:
            writer.add(IDS, MASK, LENGTHS)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tokensieve.pretrain.hashed_file.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        attempt()
    assert list(tmp_path.iterdir()) == []


def test_dtype_that_megatron_lacks_is_refused(tmp_path):
    with pytest.raises(ShardError, match="uint32 is not uint16 or int32"):
        ShardWriter(tmp_path / "s", np.dtype(np.uint32))


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        (".bin", lambda raw: raw[:-2], "20 bytes but its index needs 22"),
        (".idx", lambda raw: raw[:-1], "101 bytes but 3 documents need 102"),
        (".idx", lambda raw: raw[:20], "shorter than the 34-byte header"),
        (".idx", lambda raw: b"X" + raw[1:], "not an index"),
        (".idx", lambda raw: raw[:46] + b"\x02" + raw[47:], "byte offset of document 0"),
        ("_mask.bin", lambda raw: raw + b"\x01", "12 bytes but its index needs 11"),
        ("_mask.idx", lambda raw: raw[:17] + b"\x08" + raw[18:], "byte offset of document 1"),
    ],
)
def test_damaged_files_are_named_when_opened(tmp_path, suffix, damage, message):
    write(tmp_path / "s", IDS, MASK, LENGTHS)
    path = shard_file(tmp_path / "s", suffix)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptShardError, match=message) as caught:
        ShardReader(tmp_path / "s")
    assert str(path) in str(caught.value)


def test_mask_of_another_shard_is_refused_when_opened(tmp_path):
    write(tmp_path / "s", IDS, MASK, LENGTHS)
    write(tmp_path / "t", IDS, MASK, np.array([2, 4, 5]))
    (tmp_path / "t_mask.idx").replace(tmp_path / "s_mask.idx")
    with pytest.raises(CorruptShardError, match="document lengths differ"):
        ShardReader(tmp_path / "s")


def test_scores_lie_beside_the_tokens_and_are_counted_by_level(tmp_path):
    scores_T = np.array([3, 200, 255, 0, 3, 0, 1, 2, 3, 4, 0], dtype=np.uint8)
    with ShardWriter(tmp_path / "s", np.dtype(np.uint16), scores=True) as writer:
        writer.add(IDS, MASK, LENGTHS, scores_T)
        stats = writer.close()
    assert ShardReader(tmp_path / "s").scores_T.tolist() == scores_T.tolist()
    assert stats.score_counts is not None
    assert {level: count for level, count in enumerate(stats.score_counts) if count} == {
        0: 3, 1: 1, 2: 1, 3: 3, 4: 1, 200: 1, 255: 1,
    }  # fmt: skip
    assert list(stats.sha256) == [".bin", ".idx", "_mask.bin", "_mask.idx", "_score.bin", "_score.idx"]


def test_scores_that_are_missing_unasked_for_or_of_other_tokens_are_refused(tmp_path):
    with ShardWriter(tmp_path / "s", np.dtype(np.uint16), scores=True) as writer:
        for wrong in (None, np.zeros(10, np.uint8), np.zeros(11, np.int64)):
            with pytest.raises(MaskLengthError, match="scores"):
                writer.add(IDS, MASK, LENGTHS, wrong)
        writer.add(IDS, MASK, LENGTHS, np.zeros(11, np.uint8))
    assert ShardReader(tmp_path / "s").tokens == 11, "what was refused left nothing behind"
    with ShardWriter(tmp_path / "t", np.dtype(np.uint16)) as writer:
        with pytest.raises(MaskLengthError, match="opened without scores"):
            writer.add(IDS, MASK, LENGTHS, np.zeros(11, np.uint8))
        writer.add(IDS, MASK, LENGTHS)
