"""Which source files share shards, and what of that an export can leave as it is.

A group that has not changed keeps its shards; one with a changed source file, or without one that left, is exported
again; new files make groups of their own. So an export takes the time of what is new, and groups depend on the order in
which files arrived. Documents, ids and masks do not.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from tokensieve.jobs.exporting.layout import shard_bytes
from tokensieve.pretrain.shards.groups import Group, Groups, Member

ALL = "*"  # in the place of the source files where the tables do not know them one by one
GROUP_BYTES = 256 * 2**20
MOST_SMALL = 16  # groups below half the size; more of them are gathered anew, so that nightly files do not pile up
Sources = dict[str, Member]


@dataclass(frozen=True, kw_only=True)
class Regrouping:
    """What becomes of the groups of the export before, and of source files that are in none of them.

    Attributes:
        kept: stay with their shards.
        again: what the other groups consist of now, to be exported again.
        new: source files to be gathered into groups.
        gone: groups of which nothing is left.
    """

    kept: tuple[Group, ...]
    again: tuple[Sources, ...]
    new: Sources
    gone: int = 0

    @property
    def nothing_to_do(self) -> bool:
        return not (self.again or self.new or self.gone)

    @property
    def exported(self) -> Sources:
        """The source files whose documents are exported."""
        return {name: member for sources in (*self.again, self.new) for name, member in sources.items()}


def regroup(before: Groups | None, sources: Sources, damaged: Set[str], group_bytes: int | None) -> Regrouping:
    """Compares the groups of an export with the source files as they are now.

    `damaged`: names of groups whose shards have lost a file. `group_bytes`: `export.group_text_bytes`.
    """
    groups = () if before is None else before.groups
    found = _compare(groups, sources, damaged)
    half = group_size(group_bytes, groups) / 2
    large = tuple(group for group in groups if group.text_bytes >= half)
    if found.nothing_to_do or len(groups) - len(large) <= MOST_SMALL:
        return found
    return _compare(large, sources, damaged)


def _compare(groups: tuple[Group, ...], sources: Sources, damaged: Set[str]) -> Regrouping:
    kept, again, known, gone = [], [], set(), 0
    for group in groups:
        now = {name: sources[name] for name in group.sources if name in sources}
        known.update(now)
        if now == group.sources and group.name not in damaged:
            kept.append(group)
        elif now:
            again.append(now)
        else:
            gone += 1
    new = {name: member for name, member in sources.items() if name not in known}
    return Regrouping(kept=tuple(kept), again=tuple(again), new=new, gone=gone)


def group_size(configured: int | None, groups: tuple[Group, ...], more: int = 0) -> int:
    """Bytes of text of a group, in a corpus of these groups and `more` bytes."""
    corpus = sum(group.text_bytes for group in groups) + more
    return configured or max(GROUP_BYTES, shard_bytes(corpus, None))


def gather(new: Sources, text_bytes: Mapping[str, int], size: int) -> Iterator[Sources]:
    """New source files in groups of about `size` bytes of text, in order of name; a larger file is a group alone."""
    group: Sources = {}
    held = 0
    for name in sorted(new):
        if group and held + text_bytes.get(name, 0) > size:
            yield group
            group, held = {}, 0
        group[name] = new[name]
        held += text_bytes.get(name, 0)
    if group:
        yield group
