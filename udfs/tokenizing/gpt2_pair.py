"""GPT-2's two files, `encoder.json` and `vocab.bpe` (or vocab.json and merges.txt), as one `tokenizer.json`.

The same two files always give the same bytes. Tokens that no merge makes are special tokens: in GPT-2's files that is
<|endoftext|> alone.
"""

import json
from pathlib import Path
from typing import Any

from tokensieve.udfs.tokenizing.byte_level import byte_alphabet

PAIRS = {"encoder.json": "vocab.bpe", "vocab.json": "merges.txt"}


def tokenizer_json(vocab_file: Path) -> bytes:
    """The content of a tokenizer.json. Raises ValueError: no merges, or the files do not belong together."""
    merges_file = vocab_file.with_name(PAIRS[vocab_file.name])
    if not merges_file.is_file():
        raise ValueError(f"{vocab_file}: the merges {merges_file.name} are not beside it; both make the tokenizer")
    vocab, merges = _vocab(vocab_file), _merges(merges_file)
    made = {*byte_alphabet(), *("".join(merge) for merge in merges)}
    missing = sorted(made - vocab.keys())
    if missing:
        raise ValueError(
            f"{vocab_file}: no id for {len(missing)} tokens that {merges_file.name} makes, the first {missing[0]!r}; "
            "the two files are of different tokenizers"
        )
    spec = _spec(vocab, merges, sorted(vocab.keys() - made, key=vocab.__getitem__))
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode()


def _vocab(file: Path) -> dict[str, int]:
    try:
        vocab = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: is no vocabulary in JSON ({error})") from None
    if not isinstance(vocab, dict) or not all(type(token) is int for token in vocab.values()):
        raise ValueError(f"{file}: a vocabulary is one JSON object of token to id")
    return dict(sorted(vocab.items(), key=lambda item: item[1]))


def _merges(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8").split("\n")  # not splitlines: merges hold other line separators
    lines = lines[lines[0].startswith("#version") :]
    merges = [line.split(" ") for line in lines if line]
    for number, merge in enumerate(merges, 1):
        if len(merge) != 2:
            raise ValueError(f"{file}: merge {number} is {' '.join(merge)!r}, not two tokens")
    return merges


def _spec(vocab: dict[str, int], merges: list[list[str]], specials: list[str]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[literal], "content": literal, **flags} for literal in specials],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }
