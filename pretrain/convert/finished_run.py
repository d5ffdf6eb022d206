"""What a finished training run left behind: its configuration, its weights by Megatron's names, its tokenizer file.

The weights are checked against the configuration here, so that nothing later guesses at a shape.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.pretrain.convert.names import megatron_shapes
from tokensieve.pretrain.errors import ConvertError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.pretrain.training.config import PretrainConfig

if TYPE_CHECKING:
    import torch

PARTS = ("train.json", "config.json", "model.safetensors")


class RunConfig(BaseModel):
    """`config.json` of a run, as far as a conversion needs it; `manifest_id` names the corpus."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal["tokensieve-model/1"]
    manifest_id: str
    tokenizer: TokenizerInfo
    pretrain: PretrainConfig


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """One run. `weights`: Megatron's names, whole (tensor and pipeline parallel size 1), float32 or bfloat16."""

    folder: Path
    config: RunConfig
    weights: dict[str, "torch.Tensor"]

    @classmethod
    def load(cls, folder: Path) -> "FinishedRun":
        """Read and check a run's folder. Raises ConvertError: unfinished, no run, a tensor missing or misshapen."""
        missing = [name for name in PARTS if not (folder / name).is_file()]
        if missing:
            raise ConvertError(
                f"{folder}: {', '.join(missing)} missing, so this is no finished run; let `tokensieve pretrain train` "
                "end (`pretrain resume` goes on with one that stopped), or name another folder"
            )
        config = _config(folder / "config.json")
        return cls(folder=folder, config=config, weights=_weights(folder / "model.safetensors", config))

    def tokenizer_file(self, given: Path | None = None) -> Path:
        """The run's copy of its tokenizer, or `given`, whose content must be the same. Raises ConvertError."""
        info = self.config.tokenizer
        path = given or self.folder / "tokenizer" / Path(info.file).name
        if not path.is_file():
            raise ConvertError(f"{path}: no tokenizer file here; give the one of the shards with --tokenizer PATH")
        if (found := file_sha256(path)) != info.sha256:
            raise ConvertError(
                f"{path} is not the run's tokenizer: its sha256 is {found}, the run says {info.sha256}; "
                "give the tokenizer file of the shards with --tokenizer PATH"
            )
        return path


def _config(path: Path) -> RunConfig:
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConvertError(f"{path}: not the configuration of a run that this version reads: {error}") from None


def _weights(path: Path, config: RunConfig) -> dict[str, "torch.Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ConvertError(f"{path}: not a whole safetensors file ({error}); copy it from the run again") from None
    expected = megatron_shapes(config.pretrain.model, config.tokenizer.padded_vocab_size)
    faults = [f"{name} is missing" for name in expected.keys() - weights.keys()]
    faults += [f"{name} is unknown" for name in weights.keys() - expected.keys()]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    if faults:
        raise ConvertError(f"{path}: not the model of {path.with_name('config.json')}: {'; '.join(sorted(faults)[:8])}")
    return weights
