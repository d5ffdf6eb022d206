"""The file of groups: named by its content, refused when it is another, and held against the shards by `verify`."""

import pytest
from pydantic import ValidationError

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.groups import Group, Groups, Member
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards

FIRST = [([5, 6, 7, 0], [1, 0, 0, 1]), ([8, 0], [1, 1])]
SECOND = [([9, 10, 0], [0, 1, 1])]


def group(name: str, documents: int, *sources: str) -> Group:
    members = {source: Member(version="12-34", written=3) for source in sources}
    return Group(name=name, sources=members, documents=documents, text_bytes=10, forget_bytes=0)


def with_groups(folder, *groups: Group) -> Manifest:
    """The folder's manifest, its shards in these groups, one each."""
    manifest = Manifest.load(folder)
    shards = tuple(shard.model_copy(update={"group": one.name}) for shard, one in zip(manifest.shards, groups))
    file = Groups(groups=groups).save(folder)
    manifest = manifest.model_copy(update={"shards": shards, "groups": file})
    manifest.save(folder)
    return manifest


def test_groups_are_read_back_and_the_manifest_names_their_file_by_its_hash(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    manifest = with_groups(folder, group("g1", 2, "a", "b"), group("g2", 1, "c"))
    assert manifest.groups is not None
    assert (manifest.groups.groups, manifest.groups.sources) == (2, 3)
    assert manifest.groups.file == f"groups/{manifest.groups.sha256[:16]}.json"
    assert manifest.files()[manifest.groups.file] == manifest.groups.sha256
    found = Manifest.load(folder).groups
    assert found is not None
    assert found.load(folder).groups[0].sources["b"] == Member(version="12-34", written=3)
    assert verify_shards(Manifest.load(folder), folder) == []


def test_a_groups_file_that_is_missing_or_another_is_refused(write_corpus):
    folder = write_corpus(FIRST)
    file = with_groups(folder, group("g1", 2, "a")).groups
    assert file is not None
    (folder / file.file).write_bytes(b"{}")
    with pytest.raises(ManifestError, match=r"groups/.*: sha256 is 44136fa.*, the manifest says"):
        file.load(folder)
    (problem,) = verify_shards(Manifest.load(folder), folder)
    assert (problem.where, problem.kind) == (file.file, "corrupt")
    (folder / file.file).unlink()
    with pytest.raises(ManifestError, match="missing; export again"):
        file.load(folder)


def test_groups_that_do_not_add_up_to_their_shards_are_named(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    manifest = with_groups(folder, group("g1", 2, "a"), group("g2", 4, "b"))
    (problem,) = verify_shards(manifest, folder)
    assert (problem.kind, problem.detail) == ("counts differ", "group g2 has 3 documents more than its shards")


def test_a_source_file_in_two_groups_is_refused():
    with pytest.raises(ValidationError, match="in more than one group"):
        Groups(groups=(group("g1", 1, "a"), group("g2", 1, "a")))
    with pytest.raises(ValidationError, match="same name"):
        Groups(groups=(group("g1", 1, "a"), group("g1", 1, "b")))
