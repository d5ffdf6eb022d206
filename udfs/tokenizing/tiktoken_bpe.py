"""A byte-level `tokenizer.json` through tiktoken, five times as fast as tokenizers.

tiktoken merges the pair of lowest rank, whatever merge made it, so it gives the same ids only where ids rise in the
order of the merges and every merged pair is a merge of the file. `udfs.tokenizing.probe` compares.
"""

from itertools import pairwise
from typing import Any

from tiktoken import Encoding

from tokensieve.udfs.tokenizing.byte_level import byte_alphabet, pre_tokenizer_steps
from tokensieve.udfs.tokenizing.hugging_face import HuggingFaceJson
from tokensieve.udfs.tokenizing.texts import BackendUnfit, Encoded, Reference, Texts
from tokensieve.udfs.tokenizing.tiktoken_ranks import R50K_PATTERN, encode_ordinary


class TiktokenBpe:
    """The same ids as `reference`, unless `udfs.tokenizing.probe` says otherwise.

    Raises BackendUnfit: the file is not of a shape that tiktoken can express.
    """

    def __init__(self, reference: Reference) -> None:
        if not isinstance(reference, HuggingFaceJson) or reference.bytes_V is None:
            raise BackendUnfit("not a plain byte-level tokenizer.json")
        if any(not token.get("special") for token in reference.spec.get("added_tokens", [])):
            raise BackendUnfit("tokens were added that are no special tokens: tiktoken has no such thing")
        self._bytes_V = reference.bytes_V
        self._encoding = Encoding(
            "reference", pat_str=_pattern(reference.spec), mergeable_ranks=_ranks(reference.spec), special_tokens={}
        )

    def encode(self, texts: Texts) -> Encoded:
        """Tokens of every text; special look-alikes are encoded as plain text."""
        return encode_ordinary(self._encoding, self._bytes_V, texts)


def _pattern(spec: dict[str, Any]) -> str:
    """The splitting pattern: GPT-2's, or that of the one Split step before the bytes."""
    steps = pre_tokenizer_steps(spec)
    if len(steps) == 1 and steps[0].get("use_regex", True):
        return R50K_PATTERN
    match steps:
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False},
        ]:
            return pattern
    raise BackendUnfit("its pre-tokenizer is more than one splitting pattern")


def _ranks(spec: dict[str, Any]) -> dict[bytes, int]:
    vocab, alphabet = spec["model"]["vocab"], byte_alphabet()
    merged = [
        "".join(merge) if isinstance(merge, list) else merge.replace(" ", "") for merge in spec["model"]["merges"]
    ]
    ids = [vocab[literal] for literal in merged]
    if any(first >= second for first, second in pairwise(ids)) or any(byte not in vocab for byte in alphabet):
        raise BackendUnfit("its ids do not rise in the order of its merges, or a byte has no token")
    return {bytes(alphabet[char] for char in literal): vocab[literal] for literal in [*alphabet, *merged]}
