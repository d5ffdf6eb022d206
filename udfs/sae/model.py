"""The language model under an SAE, as files: its configuration, its tokenizer, what names it, whether the SAE fits.

A model is a local folder or a name and a commit on the hub. Weights are read in udfs/sae/residual.py; nothing here
needs torch.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve.udfs.sae.slice import SaeError, SaeSpec
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and how it is run.

    Attributes:
        model: a local folder or a hub name; revision: the commit of a hub name.
        identity: `model_identity` on the machine that planned the job; "" is not checked.
        device: auto, cpu or cuda; dtype of the model: auto (bfloat16 on CUDA), float32 or bfloat16.
        attention: implementation in transformers; Gemma 2 has no sdpa.
        window, margin: tokens of the text, as in `udfs.packing.windows.windows`, BOS not counted.
        token_budget: padded tokens per forward pass. threads: of torch on a CPU.
    """

    model: str
    revision: str | None = None
    identity: str = ""
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "eager"
    window: int = 1023
    margin: int = 128
    token_budget: int = 8192
    threads: int = 1


def check_fit(model: str, config: Any, spec: SaeSpec) -> None:
    """Raises SaeError unless the model has the SAE's layer, and its values there are as wide as the SAE reads."""
    layers = getattr(config, "num_hidden_layers", 0)
    if spec.layer >= layers:
        raise SaeError(f"{model} has {layers} blocks, the SAE reads block {spec.layer} (from 0); name the right model")
    width = config.hidden_size
    if spec.hook == "att":
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        width = config.num_attention_heads * head_dim
    if width != spec.d_in:
        raise SaeError(
            f"{model} has {width} values a token at hook `{spec.hook}`, the SAE ({spec.sae_id or 'from a folder'}, "
            f"made for {spec.model}) reads {spec.d_in}; name the model that the SAE was trained on, or its other hook"
        )


def model_config(model: str, revision: str | None) -> Any:
    """The configuration of a model. Raises SaeError when it cannot be read, ImportError without transformers."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise SaeError(f"{model}: its config.json cannot be read: {error}") from error


def model_tokenizer(model: str, revision: str | None) -> ByteTokenizer:
    """The `tokenizer.json` beside a model. Raises SaeError when there is none."""
    try:
        if Path(model).is_dir():
            return ByteTokenizer.load(Path(model) / "tokenizer.json")
        from huggingface_hub import hf_hub_download

        return ByteTokenizer.load(hf_hub_download(model, "tokenizer.json", revision=revision))
    except (OSError, ValueError) as error:
        raise SaeError(f"{model}: no usable tokenizer.json: {error}") from error


def model_identity(model: str, revision: str | None) -> str:
    """What a model is: name and commit on the hub; of a folder 16 hex digits over its files.

    Weight files count by name, size, first and last MiB: every worker computes this, and 18 GB would take longer to
    hash than to load. Raises SaeError when the folder has no weights.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{revision}"
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise SaeError(f"{model}: no *.safetensors file in this folder; other weight formats are not read")
    digest = hashlib.sha256()
    for path in (folder / "config.json", folder / "tokenizer.json", *weights):
        if not path.is_file():
            raise SaeError(f"{path}: does not exist; a model folder holds config.json, tokenizer.json and safetensors")
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(path.stat().st_size - (1 << 20), 0))
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()[:16]


def bos_id(model: str, config: Any) -> int:
    """The id of BOS. Raises SaeError when the model has none."""
    if config.bos_token_id is None:
        raise SaeError(f"{model}: the SAE wants a BOS token before every text, but config.json names no bos_token_id")
    return int(config.bos_token_id)


def special_ids(config: Any) -> np.ndarray:
    """Ids of BOS, EOS and padding, int64."""
    named = (config.bos_token_id, config.eos_token_id, config.pad_token_id)
    return np.unique(np.array([i for one in named if one is not None for i in np.atleast_1d(one)], dtype=np.int64))
