"""Makes a manifest out of the groups that stay and of those that have to be exported, and puts it in its place.

Documents are counted three times on the way, in the masked table, while they are measured and in what the tasks wrote,
and the counts must agree before anything is published.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from tokensieve.jobs.config.export import ExportConfig
from tokensieve.jobs.errors import BalanceError, InputError
from tokensieve.jobs.exporting.documents import Documents
from tokensieve.jobs.exporting.groups import Regrouping, Sources, gather, group_size
from tokensieve.jobs.exporting.layout import Amount, Layout, layout_of, measure, shard_bytes
from tokensieve.jobs.exporting.publish import sweep
from tokensieve.jobs.exporting.run_tasks import write_groups
from tokensieve.jobs.exporting.unchanged_groups import Standing
from tokensieve.jobs.policies.masked_rows import counts as masked_counts
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.shards.groups import Group, Groups
from tokensieve.pretrain.shards.manifest import Inputs, Manifest
from tokensieve.pretrain.shards.shard_info import ShardInfo, TokenizerInfo
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@dataclass(frozen=True)
class NewManifest:
    """An export into `folder` that has something to do: `todo`, building on `before`.

    `keep` says which manifests stay beside the newest; it is asked last, when a run that began meanwhile is known.
    """

    folder: Path
    export: ExportConfig
    keep: Callable[[], set[str]]
    documents: Documents
    tokenizer: ByteTokenizer
    info: TokenizerInfo
    inputs: Inputs
    before: Standing | None
    todo: Regrouping

    def make(self) -> Manifest:
        """Writes the shards that are missing and publishes the manifest; until then the one before stands whole.

        Raises InputError, BalanceError.
        """
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        expected = masked_counts(self.documents.tables, self.documents.spark)["documents"]
        todo, export = self.todo, self.export
        amounts = measure(self.documents.to_measure(todo.exported), export.splits) if todo.exported else {}
        total = {name: sum(by_split.values(), Amount()) for name, by_split in amounts.items()}
        groups = self._groups(total)
        self._check_documents([*todo.kept, *groups], sum(expected[action] for action in ("keep", "mask", "hide")))
        kept = self._kept_shards()
        corpus = sum(group.text_bytes for group in (*todo.kept, *groups))
        layout = layout_of(groups, amounts, shard_bytes(corpus, export.shard_text_bytes))
        self._refuse_empty_splits({shard.split for shard in kept} | {slot.split for slot in layout.slots})
        written = self._write(groups, layout)
        replace_file(folder / self.info.file, self.tokenizer.data)
        return self._commit(folder, [*todo.kept, *groups], [*kept, *written])

    def _groups(self, total: dict[str, Amount]) -> list[Group]:
        """The groups that are exported, with what is in them."""
        text_bytes = {name: amount.text_bytes for name, amount in total.items()}
        size = group_size(self.export.group_text_bytes, self.todo.kept, sum(text_bytes.values()))
        return [_group(sources, total) for sources in (*self.todo.again, *gather(self.todo.new, text_bytes, size))]

    def _write(self, groups: list[Group], layout: Layout) -> list[ShardInfo]:
        if not layout.slots:
            return []
        return write_groups(
            self.documents,
            layout,
            {name: group.name for group in groups for name in group.sources},
            {group.name: Amount(documents=group.documents, forget_bytes=group.forget_bytes) for group in groups},
            folder=self.folder,
            tokenizer=self.tokenizer,
            info=self.info,
            splits=self.export.splits,
            seed=self.inputs.seed,
            reference_if_differs=self.export.backend == "auto",
        )

    def _kept_shards(self) -> list[ShardInfo]:
        names = {group.name for group in self.todo.kept}
        return [] if self.before is None else [shard for shard in self.before.manifest.shards if shard.group in names]

    def _commit(self, folder: Path, groups: list[Group], shards: list[ShardInfo]) -> Manifest:
        """Makes the shards the corpus: the manifest last, then what none needs any more goes."""
        place = {group.name: min(group.sources) for group in groups}
        groups.sort(key=lambda group: place[group.name])
        shards.sort(key=lambda shard: (place[shard.group or ""], shard.prefix))
        keep = self.keep()
        _keep_newest(folder, keep)
        manifest = Manifest(
            tokenizer=self.info,
            shards=tuple(shards),
            inputs=self.inputs,
            groups=Groups(groups=tuple(groups)).save(folder),
            documents=sum(shard.documents for shard in shards),
            tokens=sum(shard.tokens for shard in shards),
            loss_tokens=sum(shard.loss_tokens for shard in shards),
        )
        manifest.keep(folder)
        manifest.save(folder)
        sweep(folder, keep)
        return manifest

    def _check_documents(self, groups: list[Group], expected: int) -> None:
        found = sum(group.documents for group in groups)
        if found != expected:
            raise BalanceError(
                f"{found} documents in the shards that stay and in the source files to be exported, {expected} in the "
                "masked table; export again with export.whole=true"
            )

    def _refuse_empty_splits(self, found: Collection[str]) -> None:
        """Raises InputError when a split that was asked for gets no document."""
        for split in ("valid", "test"):
            share = getattr(self.export.splits, split)
            if share and split not in found:
                raise InputError(
                    f"export.splits.{split}: a share of {share} of so few documents is none of them; take a larger "
                    "share or another export.splits.seed"
                )


def _group(sources: Sources, total: dict[str, Amount]) -> Group:
    found = sum((total[name] for name in sources if name in total), Amount())
    name = content_id({name: member.version for name, member in sources.items()})[:12]
    return Group(
        name=name,
        sources=sources,
        documents=found.documents,
        text_bytes=found.text_bytes,
        forget_bytes=found.forget_bytes,
    )


def _keep_newest(folder: Path, keep: set[str]) -> None:
    """A manifest of before they were kept, which something is pinned to."""
    try:
        newest = Manifest.load(folder)
    except ManifestError:
        return
    if newest.id in keep:
        newest.keep(folder)
