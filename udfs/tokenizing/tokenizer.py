"""Text to token ids and the number of UTF-8 bytes that each token covers.

Byte lengths that tile the text are the contract between tokenizers, so a document whose lengths do not add up is
named in `failed` and never guessed at. Special tokens are never added and never recognised in a text. A fast back end
is used only where it makes the same tokens as the reference: Hugging Face tokenizers, or tiktoken for a rank file.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from tokensieve.udfs.tokenizing import gpt2_pair
from tokensieve.udfs.tokenizing.gigatoken_bpe import GigatokenBpe
from tokensieve.udfs.tokenizing.hugging_face import HuggingFaceJson
from tokensieve.udfs.tokenizing.pieces import encode, pieces
from tokensieve.udfs.tokenizing.probe import difference, probe
from tokensieve.udfs.tokenizing.texts import Backend, BackendUnfit, Encoded, Reference, Texts
from tokensieve.udfs.tokenizing.tiktoken_bpe import TiktokenBpe
from tokensieve.udfs.tokenizing.tiktoken_ranks import TiktokenRanks

BackendName = Literal["tokenizers", "tiktoken", "gigatoken"]
FASTEST_FIRST: tuple[BackendName, ...] = ("gigatoken", "tiktoken", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class Tokenized:
    """D documents, T tokens in all, in the order of the texts.

    Attributes:
        ids_T: int32 token ids.
        bytes_T: int32 UTF-8 bytes of each token; 0 where a token adds no byte of its own.
        bounds_D1: int64; document d has the tokens bounds_D1[d]:bounds_D1[d + 1].
        failed: documents that could not be aligned or are too long to be encoded, and why; they have no tokens here.
    """

    ids_T: np.ndarray
    bytes_T: np.ndarray
    bounds_D1: np.ndarray
    failed: dict[int, str]


class ByteTokenizer:
    """A tokenizer read from local files, whose tokens tile the bytes of a text.

    Attributes:
        path: the file it was read from.
        data: what a copy of the tokenizer holds: that file's bytes, or one tokenizer.json made of GPT-2's two files.
        file_name: the name under which `data` is read again.
        sha256: of `data`, in hex.
        vocab_size: highest id + 1, added tokens counted.
        backend: what encodes.
        passed_over: faster back ends that are not used here, and why.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self.file_name = "tokenizer.json" if path.name in gpt2_pair.PAIRS else path.name
        self.sha256 = hashlib.sha256(data).hexdigest()
        ranks = path.suffix == ".tiktoken"
        self._reference: Reference = TiktokenRanks(path, data) if ranks else HuggingFaceJson(path, data)
        self.vocab_size = self._reference.vocab_size
        self._reference_name: BackendName = "tiktoken" if ranks else "tokenizers"
        self.backend: BackendName = self._reference_name
        self.passed_over: dict[str, str] = {}
        self._backend: Backend = self._reference

    @classmethod
    def load(cls, path: str | Path, backend: BackendName | Literal["auto"] | None = None) -> "ByteTokenizer":
        """Reads a `tokenizer.json`, a `*.tiktoken` rank file, GPT-2's `encoder.json` with `vocab.bpe` beside it, or a
        folder with one of these.

        `backend`: None takes the reference; "auto" the fastest that is installed and makes the reference's tokens on
        the probe of `udfs.tokenizing.probe`, the reasons against faster ones in `passed_over`; a name that one.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no tokenizer, or a rank file whose name is no known encoding.
            BackendUnfit: the named back end is not installed, or makes other tokens than the reference.
        """
        file = _file(Path(path))
        data = gpt2_pair.tokenizer_json(file) if file.name in gpt2_pair.PAIRS else file.read_bytes()
        tokenizer = cls(file, data)
        if backend == "auto":
            tokenizer._choose()
        elif backend is not None and backend != tokenizer.backend:
            tokenizer._use(backend)
        return tokenizer

    def encode(self, texts: Sequence[str] | pa.Array) -> Tokenized:
        """Tokens of every text, without special tokens. Never raises for what a text holds: see `failed`.

        A long text is encoded in pieces where that changes no token (udfs/tokenizing/cuts.py), else it has a limit.
        """
        given = Texts(texts)
        made = pieces(given, exact=self._reference.exact_cuts)
        encoded, failed = encode(self._backend, made), given.failed | made.failed
        covered_D, size_D = encoded.covered_D(), np.diff(made.texts.bounds_D1)
        for d in np.flatnonzero(covered_D != size_D).tolist():
            count = encoded.bounds_D1[d + 1] - encoded.bounds_D1[d]
            failed[d] = f"its {count} tokens cover {covered_D[d]} of {size_D[d]} UTF-8 bytes (tokenizer {self.path})"
        kept = _without(encoded, list(failed)) if failed else encoded
        return Tokenized(ids_T=kept.ids_T, bytes_T=kept.bytes_T, bounds_D1=kept.bounds_D1, failed=failed)

    def difference(self, texts: Sequence[str] | pa.Array) -> str | None:
        """Where the back end makes other tokens of these texts than the reference; None where it does not."""
        if self._backend is self._reference:
            return None
        made = pieces(Texts(texts), exact=self._reference.exact_cuts)
        return difference(self._reference, self._backend, made.texts.part(made.bounds_P1))

    def use_reference(self, why: str) -> None:
        """Encodes by the reference from now on; `passed_over` keeps why."""
        if self._backend is not self._reference:
            self.passed_over[self.backend] = why
            self._backend, self.backend = self._reference, self._reference_name

    def token_id(self, literal: str) -> int | None:
        """The id of a token by its literal (special tokens included), None where the vocabulary lacks it."""
        return self._reference.token_id(literal)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, special tokens included; incomplete UTF-8 becomes U+FFFD."""
        return self._reference.decode(ids)

    def byte_lengths(self, ids_T: np.ndarray) -> np.ndarray | None:
        """UTF-8 bytes that each id spells, int32 [T]; None where no table can say it."""
        bytes_V = self._reference.bytes_V
        return None if bytes_V is None or (ids_T >= len(bytes_V)).any() else bytes_V[ids_T]

    def _choose(self) -> None:
        for name in FASTEST_FIRST[: FASTEST_FIRST.index(self.backend)]:
            try:
                return self._use(name)
            except BackendUnfit as error:
                self.passed_over[name] = str(error)

    def _use(self, name: BackendName) -> None:
        made = _BUILDERS[name](self)
        found = difference(self._reference, made, Texts(probe(self._reference.specials)))
        if found is not None:
            raise BackendUnfit(f"{name} makes other tokens than {self.backend} from {self.path}: {found}")
        self._backend, self.backend = made, name


def _no_tokenizers(tokenizer: ByteTokenizer) -> Backend:
    raise BackendUnfit(f"{tokenizer.path}: tokenizers cannot read a rank file; its reference is tiktoken")


_BUILDERS: dict[str, Callable[[ByteTokenizer], Backend]] = {
    "gigatoken": lambda tokenizer: GigatokenBpe(tokenizer.path, tokenizer._reference),
    "tiktoken": lambda tokenizer: TiktokenBpe(tokenizer._reference),
    "tokenizers": _no_tokenizers,
}


def _file(path: Path) -> Path:
    """The file that holds the tokenizer: the path itself, or what a folder has."""
    known = ("tokenizer.json", *gpt2_pair.PAIRS)
    for candidate in [path / name for name in known] if path.is_dir() else [path]:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise FileNotFoundError(f"{path}: this folder has none of {', '.join(known)}")
    raise FileNotFoundError(f"tokenizer file {path} does not exist; give a tokenizer.json or a *.tiktoken file")


def _without(encoded: Encoded, documents: list[int]) -> Encoded:
    """The same documents, of which some have no tokens."""
    counts_D = np.diff(encoded.bounds_D1)
    keep_D = np.ones(len(counts_D), dtype=bool)
    keep_D[documents] = False
    keep_T = np.repeat(keep_D, counts_D)
    return Encoded(
        ids_T=encoded.ids_T[keep_T],
        bytes_T=encoded.bytes_T[keep_T],
        bounds_D1=np.concatenate([[0], np.cumsum(np.where(keep_D, counts_D, 0))]).astype(np.int64),
    )
