"""A pretrained encoder as a folder: what a classifier is fitted on, whoever trained it.

`encoder.json` names the configuration, the window and the SHA-256 of the weights (safetensors) and the tokenizer. A
trainer here writes one, a bundle or a Hugging Face model becomes one, a recipe reads one.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tokensieve.udfs.encoders.encoder import EncoderError, check_state, outline
from tokensieve.udfs.files.hashed_folder import PLAIN_NAME, ChangedFile, check, hashes, new_folder

if TYPE_CHECKING:
    from torch import Tensor

    from tokensieve.udfs.bundles.bundle import Bundle

SPEC, WEIGHTS, TOKENIZER = "encoder.json", "encoder.safetensors", "tokenizer.json"
FORMAT = "tokensieve-encoder/1"
WINDOW = 1024  # tokens; less where a model has fewer positions


class EncoderSpec(BaseModel):
    """`encoder.json`: `config` is for `udfs.encoders.encoder.build`, window and margin as in `udfs.packing.windows`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-encoder/1"] = FORMAT
    config: dict[str, JsonValue]
    window: int
    margin: int
    tokenizer: str = Field(default=TOKENIZER, pattern=PLAIN_NAME)
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class PretrainedEncoder:
    """An encoder with its weights and its tokenizer.

    Attributes:
        config: for `udfs.encoders.encoder.build`; kinds with blocks to choose from have `layers`.
        state: what `build(config).load_state_dict` takes, on the CPU.
        tokenizer: the tokenizer.json, or a rank file. window, margin: tokens.
    """

    config: dict[str, Any]
    state: "dict[str, Tensor]"
    tokenizer: Path
    window: int
    margin: int

    @classmethod
    def load(cls, folder: str | Path) -> "PretrainedEncoder":
        """Reads and verifies a folder that `save` wrote.

        Raises:
            EncoderError: no encoder.json, one that is not understood, a changed file, or weights that do not fit.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / SPEC).is_file():
            raise EncoderError(f"{folder} is no pretrained encoder: it has no {SPEC}")
        try:
            spec = EncoderSpec.model_validate_json((folder / SPEC).read_bytes())
            check(folder, {WEIGHTS: "", spec.tokenizer: ""} | spec.files, SPEC)
        except ValidationError as error:
            raise EncoderError(f"{folder / SPEC} is not in the format {FORMAT}: {error}") from None
        except ChangedFile as error:
            raise EncoderError(str(error)) from None
        made = cls(
            config=dict(spec.config),
            state=load_file(folder / WEIGHTS),
            tokenizer=folder / spec.tokenizer,
            window=spec.window,
            margin=spec.margin,
        )
        check_state(made.config, made.state, str(folder / WEIGHTS))
        return made

    def save(self, folder: str | Path) -> None:
        """Writes the folder beside its place and renames it there; weights keep their dtypes."""
        from safetensors.torch import save_file

        with new_folder(Path(folder)) as made:
            save_file({key: value.contiguous() for key, value in self.state.items()}, made / WEIGHTS)
            name = stored_name(self.tokenizer)
            shutil.copyfile(self.tokenizer, made / name)
            spec = EncoderSpec(
                config=self.config,
                window=self.window,
                margin=self.margin,
                tokenizer=name,
                files=hashes(made, [WEIGHTS, name]),
            )
            (made / SPEC).write_text(json.dumps(spec.model_dump(), indent=2) + "\n", encoding="utf-8")

    def with_layers(self, layers: Sequence[int]) -> "PretrainedEncoder":
        """The same encoder with other layers as its features; weights of the blocks above them are dropped.

        Raises:
            EncoderError: this kind of encoder has no layers to choose from, or not these.
        """
        if "layers" not in self.config or not isinstance(self.config["layers"], list | tuple):
            raise EncoderError(
                f"an encoder of type {self.config['type']} has one kind of features, no layers to choose"
            )
        config = {**self.config, "layers": list(layers)}
        wanted = outline(config).shapes
        lacking = sorted(wanted.keys() - self.state.keys())
        if lacking:
            raise EncoderError(
                f"layers {list(layers)}: there are no weights for them, only up to layer {max(self.config['layers'])} "
                f"(the first missing is {lacking[0]})"
            )
        return replace(self, config=config, state={key: self.state[key] for key in wanted})

    @classmethod
    def from_bundle(cls, bundle: "Bundle") -> "PretrainedEncoder":
        """The encoder of a classifier bundle, its weights in float32."""
        state = bundle.encoder().state_dict()
        config = dict(bundle.spec.encoder)
        return cls(
            config=config, state=state, tokenizer=bundle.tokenizer_path, window=bundle.window, margin=bundle.margin
        )

    @classmethod
    def from_hugging_face(
        cls, name_or_folder: str | Path, revision: str | None, layers: Sequence[int]
    ) -> "PretrainedEncoder":
        """A Hugging Face encoder, cut above the highest of `layers` (from 1), its weights in float32.

        Args:
            revision: the commit (40 hex digits) for a name on the hub; None for a folder.

        Raises:
            EncoderError: it is not there, not pinned, not safetensors with a tokenizer.json, or no encoder.
            ImportError: transformers is not installed.
        """
        from tokensieve.udfs.encoders import hugging_face_folder

        folder = hugging_face_folder.find(name_or_folder, revision)
        config, state, longest = hugging_face_folder.load(folder, layers)
        window = WINDOW if longest is None else min(WINDOW, longest)
        return cls(
            config=config,
            state=state,
            tokenizer=folder / hugging_face_folder.TOKENIZER,
            window=window,
            margin=window // 8,
        )


def stored_name(tokenizer: Path) -> str:
    """The tokenizer's name in a folder of ours: a rank file keeps its own, which tells its encoding."""
    return tokenizer.name if tokenizer.suffix == ".tiktoken" else TOKENIZER
