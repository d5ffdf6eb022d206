"""Which encoder a recipe starts from: a fresh shape, or one that somebody pretrained, and which of its layers to read.

Pretrained ones come as a folder of ours, a Hugging Face model, or the encoder of another bundle; behind this file they
are all alike.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from torch import nn

from tokensieve.pretrain.classifier.joint_trainer import rounded
from tokensieve.pretrain.errors import FitError
from tokensieve.udfs.bundles.bundle import Bundle, resolve
from tokensieve.udfs.bundles.pretrained import PretrainedEncoder
from tokensieve.udfs.encoders import hugging_face_folder
from tokensieve.udfs.encoders.encoder import build

Layers = tuple[int, ...]
_GIVEN = ("pretrained", "hugging_face", "bundle")


class EncoderConfig(BaseModel):
    """Section `encoder`: `{type: ..., shape}` for a fresh one, else where a pretrained one is.

    Attributes:
        shape: what `udfs.encoders.encoder.build` takes, without `vocab_size`; written flat in a file.
        pretrained: a folder of `udfs.bundles.pretrained`. hugging_face: a folder, or a hub name with a `revision`
            (a commit).
        bundle: a bundle whose encoder is taken, by folder or name.
        layers: `sweep` tries every layer by itself; a list gives the layers to read, side by side (a method that
            chooses among several layers chooses among these).
        precision: of the features on disk.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: dict[str, JsonValue] | None = None
    pretrained: Path | None = None
    hugging_face: str | None = None
    revision: str | None = None
    bundle: str | None = None
    layers: Literal["sweep"] | list[int] = "sweep"
    precision: Literal["float16", "float32"] = "float16"

    @model_validator(mode="before")
    @classmethod
    def _flat_shape(cls, given: Any) -> Any:
        return {"shape": given} if isinstance(given, dict) and "type" in given else given

    @model_validator(mode="after")
    def _one_kind(self) -> "EncoderConfig":
        given = [name for name in ("shape", *_GIVEN) if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give `type` with a shape, or exactly one of {', '.join(_GIVEN)}; found {given or 'none'}"
            )
        if self.revision is not None and self.hugging_face is None:
            raise ValueError("revision belongs to hugging_face")
        return self


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained encoder whose features are those of `layers` end to end; `name` says where it came from."""

    name: str
    encoder: PretrainedEncoder
    layers: Layers

    def module(self) -> nn.Module:
        """The encoder with its weights, rounded as a bundle stores them, frozen."""
        module = build(self.encoder.config)
        module.load_state_dict(self.encoder.state)
        return rounded(module)

    def cut(self, layers: Layers) -> "Backbone":
        """The same encoder with only these layers as its features."""
        if layers == self.layers:
            return self
        return Backbone(name=self.name, encoder=self.encoder.with_layers(layers), layers=layers)


def load_backbone(config: EncoderConfig) -> Backbone:
    """The encoder that the section names, with all the layers that it lets a method choose from.

    An encoder that has one kind of features, no layers to choose from, counts as its last layer.

    Raises:
        EncoderError, BundleError: it is missing, changed, or lacks one of the layers.
        FitError: the section describes a fresh encoder.
    """
    if config.hugging_face is not None:
        layers = config.layers if config.layers != "sweep" else range(1, _depth(config) + 1)
        found = PretrainedEncoder.from_hugging_face(config.hugging_face, config.revision, list(layers))
        return Backbone(
            name=f"{config.hugging_face} {config.revision or ''}".strip(), encoder=found, layers=tuple(layers)
        )
    if config.pretrained is not None:
        name, found = str(config.pretrained.name), PretrainedEncoder.load(config.pretrained)
    elif config.bundle is not None:
        bundle = Bundle.load(resolve(config.bundle))
        name, found = f"bundle {bundle.spec.name} {bundle.bundle_id}", PretrainedEncoder.from_bundle(bundle)
    else:
        raise FitError("encoder.type describes a fresh encoder, which needs head.method joint")
    depth = found.config["layers"]
    if isinstance(depth, int):
        if config.layers not in ("sweep", [depth]):
            raise FitError(f"encoder.layers: an encoder of type {found.config['type']} has no layers to choose from")
        return Backbone(name=name, encoder=found, layers=(depth,))
    wanted = tuple(range(1, max(depth) + 1)) if config.layers == "sweep" else tuple(config.layers)
    return Backbone(name=name, encoder=found.with_layers(wanted), layers=wanted)


def _depth(config: EncoderConfig) -> int:
    folder = hugging_face_folder.find(str(config.hugging_face), config.revision)
    return int(json.loads((folder / hugging_face_folder.CONFIG).read_text(encoding="utf-8"))["num_hidden_layers"])
