"""What a run trains on, seen as one thing: a shard set, or several that a blend weighs.

Reads manifests only. Splits are those of the export, by a hash of the document; nothing is split by position.
"""

from dataclasses import dataclass
from pathlib import Path

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.blend import FILE_NAME as BLEND
from tokensieve.pretrain.shards.blend import Blend
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard_info import ShardInfo, Split, TokenizerInfo


def samples_in(tokens: int, seq_length: int) -> int:
    """Samples that Megatron cuts from one shard in one epoch; a sample needs one token beyond its length."""
    return max(0, (tokens - 1) // seq_length)


@dataclass(frozen=True, kw_only=True)
class CorpusShard:
    """One shard of a corpus. `weight` is its share of a blend's samples, None outside a blend."""

    name: str
    """The prefix in its manifest; in a blend with the source's name in front."""
    prefix: Path
    info: ShardInfo
    weight: float | None


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A shard set or a blend. `id` names its content: that of the manifest, or of the blend."""

    folder: Path
    id: str
    tokenizer: TokenizerInfo
    tokenizer_file: Path
    manifests: tuple[tuple[Path, Manifest], ...]
    blend: Blend | None

    @classmethod
    def load(cls, folder: Path, manifest: str | None = None) -> "Corpus":
        """Reads `blend.json` where there is one, else `manifest.json`, or of a shard set the manifest with this id.

        Raises ManifestError: none, one that cannot be read, sources that another tokenizer was used for.
        """
        folder = Path(folder)
        if (folder / BLEND).is_file():
            blend = Blend.load(folder)
            if manifest not in (None, blend.id):
                raise ManifestError(f"{folder}: holds the blend {blend.id}, which has no manifest {manifest}")
            manifests = tuple((place, manifest) for _, place, manifest in blend.manifests(folder))
            _refuse_mixed_tokenizers(folder, manifests)
        else:
            blend, manifests = None, ((folder, Manifest.load(folder, manifest)),)
        place, first = manifests[0]
        return cls(
            folder=folder,
            id=blend.id if blend else first.id,
            tokenizer=first.tokenizer,
            tokenizer_file=place / first.tokenizer.file,
            manifests=manifests,
            blend=blend,
        )

    def shards(self, split: Split, seq_length: int) -> list[CorpusShard]:
        """The shards of a split that hold at least one sample; a blend's weights count its samples, not tokens."""
        found: list[CorpusShard] = []
        for at, (place, manifest) in enumerate(self.manifests):
            usable = [shard for shard in manifest.shards_of(split) if samples_in(shard.tokens, seq_length)]
            total = sum(samples_in(shard.tokens, seq_length) for shard in usable)
            source = self.blend.sources[at] if self.blend else None
            found += [
                CorpusShard(
                    name=f"{source.name}/{shard.prefix}" if source else shard.prefix,
                    prefix=place / shard.prefix,
                    info=shard,
                    weight=source.weight * samples_in(shard.tokens, seq_length) / total if source else None,
                )
                for shard in usable
            ]
        return found

    def samples_per_epoch(self, seq_length: int) -> int:
        """Training samples of one pass; of a blend, as many as hold every source in its share within its passes."""
        if self.blend is None:
            return sum(samples_in(shard.info.tokens, seq_length) for shard in self.shards("train", seq_length))
        available = [
            sum(samples_in(shard.tokens, seq_length) for shard in manifest.shards_of("train"))
            for _, manifest in self.manifests
        ]
        return min(
            int(samples * source.epochs / source.weight + 1e-6)
            for samples, source in zip(available, self.blend.sources, strict=True)
        )


def _refuse_mixed_tokenizers(folder: Path, manifests: tuple[tuple[Path, Manifest], ...]) -> None:
    place, first = manifests[0]
    for other_place, other in manifests[1:]:
        if other.tokenizer.model_dump(exclude={"file"}) != first.tokenizer.model_dump(exclude={"file"}):
            raise ManifestError(
                f"{folder}: {place} has tokenizer {first.tokenizer}, {other_place} has {other.tokenizer}; "
                "export both with one tokenizer"
            )
