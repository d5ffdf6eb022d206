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
from tokensieve.pretrain.convert.tiktoken_json import tiktoken_json
from tokensieve.pretrain.convert.weights import hugging_face_weights
from tokensieve.pretrain.errors import ConvertError
from tokensieve.pretrain.shards.shard_info import TokenizerInfo


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


def tokenizer_files(path: Path, info: TokenizerInfo, seq_length: int) -> dict[str, bytes]:
    """Names and contents of files that `AutoTokenizer` loads: `tokenizer.json` byte for byte, or made of a rank file.

    Traded away: AutoTokenizer reads the literals of special tokens in a text as those tokens, export never does; pass
    `split_special_tokens=True` for the ids that training saw.

    Raises ConvertError: neither kind of tokenizer, or its end-of-text is no token."""
    data = tiktoken_json(path) if path.suffix == ".tiktoken" else path.read_bytes()
    end = _literal(data, info.eod, path)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "model_max_length": seq_length,
        "clean_up_tokenization_spaces": False,
    }
    return {"tokenizer.json": data, "tokenizer_config.json": (json.dumps(config, indent=2) + "\n").encode()}


def _literal(data: bytes, token: int, path: Path) -> str:
    try:
        spec: dict[str, Any] = json.loads(data)
        added = {entry["content"]: entry["id"] for entry in spec.get("added_tokens", [])}
        vocab = spec["model"]["vocab"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConvertError(
            f"{path} is no tokenizer.json ({error!r}); give the run's tokenizer with --tokenizer"
        ) from None
    # A Unigram model lists [piece, score] in the order of ids.
    known = added | (vocab if isinstance(vocab, dict) else {piece: at for at, (piece, _) in enumerate(vocab)})
    for literal, found in known.items():
        if found == token:
            return literal
    raise ConvertError(f"{path} has no token {token}, the run's end of text; give the run's tokenizer with --tokenizer")


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
