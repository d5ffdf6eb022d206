"""A tiktoken rank file as a Hugging Face `tokenizer.json` with the same ids, proven on a probe or refused.

transformers' own converter gives special tokens the next free ids, which are not cl100k's (100257 follows 100255), so
the file is written here. The merge that makes a token is the last one of merging its bytes by lower ranks.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from tokensieve.pretrain.errors import ConvertError
from tokensieve.udfs.tokenizing.byte_level import byte_alphabet
from tokensieve.udfs.tokenizing.probe import probe
from tokensieve.udfs.tokenizing.tiktoken_ranks import TiktokenRanks
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def tiktoken_json(path: Path) -> bytes:
    """The content of a tokenizer.json. Raises ConvertError: an unknown encoding, or other ids on the probe."""
    try:
        ranks = TiktokenRanks(path, path.read_bytes())
    except ValueError as error:
        raise ConvertError(f"{error}; or train on shards of a tokenizer.json") from None
    data = json.dumps(_spec(ranks), ensure_ascii=False, separators=(",", ":")).encode()
    if not _same_ids(path, data, list(ranks.special_ids)):
        raise ConvertError(
            f"{path}: as a tokenizer.json it makes other ids on the probe; name the model's own tokenizer.json with "
            "--tokenizer in the conversion of a run that was exported with it"
        )
    return data


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pair that makes each longer token, in the order of ranks; a token that no pair makes has none."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = _merged(token, ranks, rank)
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


def _merged(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """The token's bytes after every merge whose rank is lower than `below`."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 1:
        found = [ranks.get(left + right, below) for left, right in zip(parts, parts[1:])]
        lowest = min(found)
        if lowest >= below:
            break
        at = found.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _spec(ranks: TiktokenRanks) -> dict[str, Any]:
    character = {byte: char for char, byte in byte_alphabet().items()}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

    def spelled(token: bytes) -> str:
        return "".join(character[byte] for byte in token)

    # Oniguruma, behind tokenizers, reads {1,3}+ as a repetition; without the + it takes the same digits.
    split = {"type": "Split", "pattern": {"Regex": ranks.pattern.replace("}+", "}")}, "behavior": "Isolated"}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token, "content": literal, **flags} for literal, token in ranks.special_ids.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{**split, "invert": False}, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            # Special tokens stand in the vocabulary too, for only there a file may choose their ids.
            "vocab": {spelled(token): rank for token, rank in ranks.ranks.items()} | ranks.special_ids,
            "merges": [[spelled(left), spelled(right)] for left, right in merges_of(ranks.ranks)],
        },
    }


def _same_ids(path: Path, data: bytes, specials: list[str]) -> bool:
    texts = probe(specials)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "tokenizer.json"
        made.write_bytes(data)
        expected, found = (ByteTokenizer.load(file).encode(texts) for file in (path, made))
    return expected.ids_T.tolist() == found.ids_T.tolist()
