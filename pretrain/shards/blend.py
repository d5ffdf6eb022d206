"""`blend.json`: several shard sets with the weight that each has in training, named by content.

Written by `tokensieve mix`. No token is copied: Megatron draws from every source by its weight. Sources are found
relative to the blend's folder, and each must still be the manifest that the blend was made from.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.shards.manifest import Manifest

FILE_NAME = "blend.json"


class BlendSource(BaseModel):
    """One shard set. `weight` is its share of the blend's tokens; `epochs` the passes over it that this needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shards: str
    manifest_id: str
    weight: Annotated[float, Field(gt=0, le=1)]
    epochs: Annotated[float, Field(gt=0)]


class Blend(BaseModel):
    """Shard sets and their weights, which sum to 1; `tokens` is the length of the mix: a run of so many tokens holds
    every source in its share, none more often than its `epochs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-blend/1"] = "tokensieve-blend/1"
    name: str
    sources: Annotated[tuple[BlendSource, ...], Field(min_length=1)]
    tokens: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        total = sum(source.weight for source in self.sources)
        if abs(total - 1) > 1e-6:
            weights = {source.name: source.weight for source in self.sources}
            raise ValueError(f"the weights {weights} sum to {total}, not to 1")
        return self

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON without the sources' places."""
        content = self.model_dump(mode="json")
        for source in content["sources"]:
            del source["shards"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder/blend.json`. Raises ManifestError: missing or invalid."""
        path = Path(folder) / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ManifestError(f"{path}: no blend here; run `tokensieve mix write` first") from None
        except ValidationError as error:
            raise ManifestError(f"{path}: {error}; run `tokensieve mix write` again") from error

    def save(self, folder: Path) -> Path:
        """Write `folder/blend.json` in one step."""
        path = Path(folder) / FILE_NAME
        replace_file(path, (json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode())
        return path

    def manifests(self, folder: Path) -> list[tuple[BlendSource, Path, Manifest]]:
        """Every source with its folder and manifest. Raises ManifestError for one that is missing or another."""
        found = []
        for source in self.sources:
            place = Path(folder) / source.shards
            try:
                found.append((source, place, Manifest.load(place, source.manifest_id)))
            except ManifestError as error:
                raise ManifestError(f"the blend {folder}: {error}; or run `tokensieve mix write` again") from error
        return found
