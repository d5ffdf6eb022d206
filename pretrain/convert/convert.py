"""A finished run's folder to a folder that `AutoModelForCausalLM` and `AutoTokenizer` load, without any code of ours.

The folder appears whole or not at all. Traded away: the weights pass through memory once, so a model of 1.8 billion
float32 parameters wants 16 GB.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokensieve.pretrain.convert.finished_run import FinishedRun
from tokensieve.pretrain.convert.hugging_face_config import CLASSES, generation_config, model_config
from tokensieve.pretrain.convert.tokenizer_files import tokenizer_files
from tokensieve.pretrain.convert.weights import hugging_face_weights
from tokensieve.pretrain.errors import ConvertError


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written. `dtype` is that of the run's weights; `parameters` counts vocabulary padding too."""

    architecture: str
    parameters: int
    dtype: str
    vocab_size: int
    out: Path


def convert(run_folder: Path, out: Path, tokenizer: Path | None = None) -> Converted:
    """Write config, weights, generation defaults and tokenizer into `out`, which must be new or empty.

    `tokenizer`: the tokenizer file of the run's shards, where the run has no copy. Raises ConvertError.
    """
    from safetensors.torch import save_file

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConvertError(f"{out}: is there already; name a new or an empty folder")
    run = FinishedRun.load(run_folder)
    config, info = run.config.pretrain, run.config.tokenizer
    files = tokenizer_files(run.tokenizer_file(tokenizer), info, config.seq_length)
    weights = hugging_face_weights(config.model, run.weights)
    dtype = str(weights["model.norm.weight"].dtype).removeprefix("torch.")
    files["config.json"] = _json(model_config(config, info, dtype))
    files["generation_config.json"] = _json(generation_config(info))
    files["tokensieve.json"] = (run_folder / "config.json").read_bytes()  # which corpus and settings made it
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        save_file(weights, made / "model.safetensors", metadata={"format": "pt", "corpus": run.config.manifest_id})
        for name, data in files.items():
            (made / name).write_bytes(data)
        made.chmod(0o755)
        os.replace(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Converted(
        architecture=CLASSES[config.model.family][0],
        parameters=sum(tensor.numel() for tensor in weights.values()),
        dtype=dtype,
        vocab_size=info.padded_vocab_size,
        out=out,
    )


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
