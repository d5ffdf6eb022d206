"""What a mix will hold, before anything is written: documents, tokens, loss-bearing tokens and shares by source.

How many tokens a share is follows from the mix's reading of "ratio" (arXiv 2505.04741, whose clean part is constant and
whose toxic part is added on top), and from it how far the chosen documents may be off. A shard set's figures are
counted over the documents that are chosen. A blend chooses none: Megatron draws samples from whole shards, so its
documents and loss-bearing tokens are expectations, except of sources that are written anew.
"""

from dataclasses import dataclass
from typing import Literal

from tokensieve.pretrain.mix.annotate import Prefixes, prefixes
from tokensieve.pretrain.mix.config import CLEAN, MixConfig, SourceConfig
from tokensieve.pretrain.mix.selection import Chosen, choose, hash_order, refuse_exhausted
from tokensieve.pretrain.mix.source import Source, refuse_other_tokenizers

SMALLEST_PART = 0.1  # of a share: 0.1 % may not be met by nothing, although that is only 0.1 % off


@dataclass(frozen=True, kw_only=True)
class Part:
    """One source's part of a mix.

    Attributes:
        tokens: what it adds to the mix. chosen: its documents, None where a blend draws from the source's own shards.
        passes: how often the source is gone over; 0.25 is a quarter of it.
    """

    source: Source
    tokens: int
    passes: float
    prefixes: Prefixes | None
    chosen: Chosen | None

    @property
    def documents(self) -> int:
        """Documents in the mix, an expectation where none are chosen."""
        if self.chosen is None:
            return round(self.passes * sum(shard.documents for shard in self.source.shards))
        return round(len(self.chosen.documents_K) * self.epochs)

    @property
    def loss_tokens(self) -> int:
        """Loss-bearing tokens in the mix, an expectation where no documents are chosen."""
        if self.chosen is None:
            return round(self.tokens * self.source.loss_tokens / self.source.tokens)
        documents_K, documents = self.chosen.documents_K, len(self.source.documents.lengths_D)
        if len(documents_K) % documents == 0:  # whole passes, which the manifest has counted
            count = self.source.loss_tokens * (len(documents_K) // documents)
        else:
            count = int(self.source.loss_D[documents_K].sum())
        if self.prefixes and self.prefixes.loss:
            count += int(self.prefixes.lengths_D[documents_K].sum())
        return round(count * self.epochs)

    @property
    def epochs(self) -> float:
        """Passes over what a blend draws from: the source's own shards, or what is written of them."""
        return self.passes if self.chosen is None else self.tokens / self.chosen.tokens

    @property
    def counted(self) -> bool:
        """True where the figures are counts of chosen documents, not expectations of drawn samples."""
        return self.chosen is not None and self.chosen.tokens == self.tokens


@dataclass(frozen=True, kw_only=True)
class PlannedSource:
    """One line of a plan. Shares are by the mix's definition; the clean part has none to request."""

    name: str
    shards: str
    manifest_id: str
    documents: int
    tokens: int
    loss_tokens: int
    share: float
    requested: float | None
    passes: float
    counted: bool
    """False: documents and loss-bearing tokens are expectations."""


@dataclass(frozen=True, kw_only=True)
class MixPlan:
    """A mix that can be written."""

    name: str
    output: Literal["blend", "shards"]
    share_of: Literal["total", "clean"]
    sources: tuple[PlannedSource, ...]
    documents: int
    tokens: int
    loss_tokens: int

    def lines(self) -> list[str]:
        """The plan for a terminal, a source a line."""
        head = (
            f"{'source':<16}{'documents':>14}{'tokens':>18}{'loss-bearing':>18}{'share':>10}{'asked':>10}{'passes':>9}"
        )
        rows = [
            f"{one.name:<16}{one.documents:>14,}{one.tokens:>18,}{one.loss_tokens:>18,}{one.share:>10.3%}"
            f"{'' if one.requested is None else f'{one.requested:.3%}':>10}{one.passes:>9.3f}"
            for one in self.sources
        ]
        total = f"{'total':<16}{self.documents:>14,}{self.tokens:>18,}{self.loss_tokens:>18,}"
        notes = [
            f"mix {self.name}: {self.output}, share of the {'clean part' if self.share_of == 'clean' else 'total'}"
        ]
        if not all(one.counted for one in self.sources):
            notes.append("a blend draws samples: its documents and loss-bearing tokens are expectations")
        return [head, *rows, total, *notes]


def plan_mix(config: MixConfig) -> tuple[MixPlan, tuple[Part, ...]]:
    """Works the mix out; nothing is written. The clean part comes first.

    Raises ManifestError, ShardError, MixError and its kinds: another tokenizer, an exhausted source, one whose
    documents are too long for its share, a document without score.
    """
    clean = Source(CLEAN, config.clean)
    added = [Source(name, source) for name, source in config.added.items()]
    refuse_other_tokenizers([clean, *added])
    first = _clean_part(config, clean)
    targets, slack = target_tokens(config, first.tokens), slack_tokens(config, first.tokens)
    parts = (first, *(_part(config, one, targets[one.name], slack[one.name]) for one in added))
    return _plan(config, parts), parts


def written_anew(config: MixConfig, source: Source) -> bool:
    """True where the mix holds copies of the source's documents, not the source's own shards."""
    return config.output == "shards" or source.config.annotate is not None or source.split != "train"


def target_tokens(config: MixConfig, clean_tokens: int) -> dict[str, int]:
    """Tokens of every added source that make its share beside so many clean tokens."""
    together = sum(source.share for source in config.added.values())
    unit = clean_tokens / (1 - together) if config.share_of == "total" else clean_tokens
    return {name: max(1, round(source.share * unit)) for name, source in config.added.items()}


def allowed_error(tolerance: float, share: float) -> float:
    """How far a realised share may be from `share`, absolute."""
    return min(tolerance, SMALLEST_PART * share)


def slack_tokens(config: MixConfig, clean_tokens: int) -> dict[str, int]:
    """How many tokens each source may be off so that all shares stay within their tolerance, whatever the others do.

    Off by d_i, share i of the total moves by (d_i - share_i * sum of d) / total, hence the part for each source.
    """
    total = clean_tokens + sum(target_tokens(config, clean_tokens).values())
    unit = total / max(1, len(config.added)) if config.share_of == "total" else clean_tokens
    return {name: int(allowed_error(config.tolerance, source.share) * unit) for name, source in config.added.items()}


def realised_share(share_of: Literal["total", "clean"], tokens: int, clean_tokens: int, total_tokens: int) -> float:
    """The share that `tokens` of a source are, by the mix's definition."""
    return tokens / (total_tokens if share_of == "total" else clean_tokens)


def _clean_part(config: MixConfig, source: Source) -> Part:
    wanted = config.clean.tokens
    return _part(config, source, wanted, int(config.tolerance * (wanted or 0)))


def _part(config: MixConfig, source: Source, target: int | None, slack: int) -> Part:
    """The source's part of about `target` tokens; None: all of the source."""
    repeats = isinstance(source.config, SourceConfig) and source.config.repeats == "allow"
    if not written_anew(config, source):
        target = source.tokens if target is None else target
        refuse_exhausted(source.tokens, target, 0, repeats, str(source))
        return Part(source=source, tokens=target, passes=target / source.tokens, prefixes=None, chosen=None)
    before = prefixes(source)
    lengths_D = source.documents.lengths_D + (before.lengths_D if before else 0)
    order_D = hash_order(source.documents.hash_D, source.documents.row_D, config.seed)
    total = int(lengths_D.sum())
    target = total if target is None else target
    if config.output == "blend" and repeats and target > total:
        # Written once and drawn from several times; copies would only take room.
        chosen = choose(lengths_D, order_D, total, slack, False, str(source))
        return Part(source=source, tokens=target, passes=target / total, prefixes=before, chosen=chosen)
    chosen = choose(lengths_D, order_D, target, slack, repeats, str(source))
    return Part(source=source, tokens=chosen.tokens, passes=chosen.tokens / total, prefixes=before, chosen=chosen)


def _plan(config: MixConfig, parts: tuple[Part, ...]) -> MixPlan:
    total = sum(part.tokens for part in parts)
    planned = [_planned(config, part, parts[0].tokens, total) for part in parts]
    return MixPlan(
        name=config.name,
        output=config.output,
        share_of=config.share_of,
        sources=tuple(planned),
        documents=sum(one.documents for one in planned),
        tokens=total,
        loss_tokens=sum(one.loss_tokens for one in planned),
    )


def _planned(config: MixConfig, part: Part, clean_tokens: int, total_tokens: int) -> PlannedSource:
    source = part.source
    return PlannedSource(
        name=source.name,
        shards=str(source.folder),
        manifest_id=source.manifest.id,
        documents=part.documents,
        tokens=part.tokens,
        loss_tokens=part.loss_tokens,
        share=realised_share(config.share_of, part.tokens, clean_tokens, total_tokens),
        requested=config.added[source.name].share if source.name in config.added else None,
        passes=part.passes,
        counted=part.counted,
    )
