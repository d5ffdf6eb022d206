"""Groups of source files: gathered by size, kept while nothing in them changes, gathered anew when many are small."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.jobs.exporting.groups import GROUP_BYTES, MOST_SMALL, Sources, gather, group_size, regroup
from tokensieve.pretrain.shards.groups import Group, Groups, Member


def sources(*names: str, written: int = 0) -> Sources:
    return {name: Member(version="7-1", written=written) for name in names}


def group(*names: str, text_bytes: int = 100, written: int = 0) -> Group:
    members = sources(*names, written=written)
    return Group(name="+".join(names), sources=members, documents=1, text_bytes=text_bytes, forget_bytes=0)


def test_files_are_gathered_in_order_of_name_up_to_the_size_and_a_larger_one_is_alone():
    sizes = {"a": 40, "b": 50, "c": 30, "d": 500, "e": 10}
    found = gather(sources("e", "d", "c", "b", "a", "f"), sizes, size=100)
    assert [sorted(one) for one in found] == [["a", "b"], ["c"], ["d"], ["e", "f"]]


def test_a_group_without_change_is_kept_and_one_with_a_changed_a_gone_or_a_damaged_file_is_exported_again():
    before = Groups(groups=(group("a", "b"), group("c", "d"), group("e", "f"), group("g"), group("h")))
    now = sources("a", "b", "c", "e", "f", "g", "new") | sources("f", written=5)
    found = regroup(before, now, {"g"}, None)
    assert [one.name for one in found.kept] == ["a+b"]
    assert found.again == (sources("c"), sources("e") | sources("f", written=5), sources("g"))
    assert (found.new, found.gone) == (sources("new"), 1)
    assert found.exported == sources("c", "e", "g", "new") | sources("f", written=5)


def test_nothing_new_is_nothing_to_do_whatever_the_sizes():
    before = Groups(groups=tuple(group(f"{at:03d}") for at in range(MOST_SMALL + 5)))
    assert regroup(before, sources(*(one.name for one in before.groups)), set(), None).nothing_to_do


def test_more_than_a_few_small_groups_are_gathered_anew_with_the_next_new_file():
    large = group("large", text_bytes=GROUP_BYTES)
    small = tuple(group(f"{at:03d}") for at in range(MOST_SMALL + 1))
    now = sources("large", "new", *(one.name for one in small))
    some = regroup(Groups(groups=(large, *small[1:])), now, set(), None)
    assert (len(some.kept), sorted(some.new)) == (1 + MOST_SMALL, ["000", "new"])
    many = regroup(Groups(groups=(large, *small)), now, set(), None)
    assert many.kept == (large,)
    assert sorted(many.new) == [*(one.name for one in small), "new"]


def test_the_size_of_a_group_is_a_quarter_gibibyte_and_in_a_large_corpus_a_shards():
    assert group_size(None, ()) == 2**28
    assert group_size(None, (), 2**41) == 2**31
    assert group_size(1000, (), 2**41) == 1000


NAMES = st.sets(st.sampled_from("abcdefghijkl"), max_size=12)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=8), st.integers(min_value=1, max_value=300))
def test_after_any_runs_every_file_is_in_one_group_as_it_is_now_and_untouched_groups_are_the_same(runs, size):
    before: Groups | None = None
    written = dict.fromkeys("abcdefghijkl", 0)
    for run, (there, changed) in enumerate(runs):
        written |= dict.fromkeys(changed, run)
        now = {name: Member(version="7-1", written=written[name]) for name in sorted(there)}
        found = regroup(before, now, set(), size)
        for one in found.kept:
            assert before is not None
            assert one in before.groups
        made = [*found.again, *gather(found.new, dict.fromkeys(there, 100), size)]
        groups = [group_of(one) for one in made]
        before = Groups(groups=(*found.kept, *groups))  # refuses a file in two groups
        assert {name: member for one in before.groups for name, member in one.sources.items()} == now


def group_of(members: Sources) -> Group:
    return Group(name="+".join(members), sources=members, documents=1, text_bytes=100 * len(members), forget_bytes=0)
