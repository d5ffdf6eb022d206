"""The tokenizer of a run as files that `AutoTokenizer` loads: `tokenizer.json` byte for byte, or made of a rank file.

Traded away: AutoTokenizer reads the literals of special tokens in a text as those tokens, export never does; pass
`split_special_tokens=True` for the ids that training saw.
"""

import json
from pathlib import Path
from typing import Any

from tokensieve.pretrain.convert.tiktoken_json import tiktoken_json
from tokensieve.pretrain.errors import ConvertError
from tokensieve.pretrain.shards.shard_info import TokenizerInfo


def tokenizer_files(path: Path, info: TokenizerInfo, seq_length: int) -> dict[str, bytes]:
    """File names and contents. Raises ConvertError: neither kind of tokenizer, or its end-of-text is no token."""
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
