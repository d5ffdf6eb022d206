"""The classifier bundle: a folder that holds everything scoring needs, named and checked by content.

`bundle.json` (format tokensieve-bundle/1) carries the SHA-256 of every data file, so a bundle id names the weights,
the tokenizer and the thresholds at once, and a changed byte is refused before anything is scored. The card (README.md)
is prose and stands outside the id. Weights are safetensors only; torch is imported when a module is asked for.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from udfs.bundle_spec import FORMAT, BundleDraft, BundleSpec, TokenizerFile
from udfs.installed import installed_folder, installed_names
from udfs.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SPEC, CARD = "bundle.json", "README.md"
ENCODER, HEADS, TOKENIZER = "encoder.safetensors", "heads.safetensors", "tokenizer.json"


class BundleError(Exception):
    """A bundle that is missing, incomplete, changed or not understood; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A verified bundle folder.

    Attributes:
        path: the folder. spec: its bundle.json.
        bundle_id: 16 hex digits over the canonical bundle.json.
        encoder_id: 16 hex digits over what decides the encoder's features; policies that share it share its pass.
    """

    path: Path
    spec: BundleSpec
    bundle_id: str
    encoder_id: str

    @classmethod
    def load(cls, path: str | Path) -> "Bundle":
        """Reads and verifies a bundle folder.

        Raises:
            BundleError: bundle.json is missing or invalid, or a file is missing or is not the one it names.
        """
        path = Path(path)
        spec_path = path / SPEC
        if not spec_path.is_file():
            raise BundleError(f"{path} is no classifier bundle: it has no {SPEC}")
        raw = spec_path.read_bytes()
        try:
            spec = BundleSpec.model_validate_json(raw)
        except ValidationError as error:
            raise BundleError(f"{spec_path} is not in the format {FORMAT}: {error}") from None
        for name, expected in {**spec.files, spec.tokenizer.file: spec.tokenizer.sha256}.items():
            _verify(path / name, expected)
        for name in (ENCODER, HEADS):
            if name not in spec.files:
                raise BundleError(f"{spec_path} names no SHA-256 for {name}; the bundle was not written by `save`")
        return cls(path=path, spec=spec, bundle_id=_id(json.loads(raw)), encoder_id=_encoder_id(spec))

    @property
    def window(self) -> int:
        """Tokens of one window, as in `udfs.packing.windows`."""
        return self.spec.window

    @property
    def margin(self) -> int:
        """Tokens at an inner edge of a window whose scores come from its neighbour."""
        return self.spec.margin

    @property
    def tokenizer_path(self) -> Path:
        """The verified tokenizer file."""
        return self.path / self.spec.tokenizer.file

    def tokenizer(self) -> ByteTokenizer:
        """The bundle's tokenizer."""
        return ByteTokenizer.load(self.tokenizer_path)

    def encoder(self, device: "torch.device | str" = "cpu", dtype: "torch.dtype | None" = None) -> "nn.Module":
        """The encoder (see `udfs.encoders.Encoder`) in evaluation mode, its float16 weights cast to dtype (fp32)."""
        import torch
        from safetensors.torch import load_file

        from udfs.encoders import build

        module = build(dict(self.spec.encoder))
        module.load_state_dict(load_file(self.path / ENCODER))
        return module.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)

    def heads(
        self, device: "torch.device | str" = "cpu", dtype: "torch.dtype | None" = None
    ) -> "tuple[Tensor, Tensor]":
        """Weights [d, 2] and biases [2]; column 0 gives token logits, column 1 is averaged to the document's."""
        import torch
        from safetensors.torch import load_file

        heads = load_file(self.path / HEADS)
        weights = torch.stack([heads["token.weight"], heads["document.weight"]], dim=1)
        biases = torch.cat([heads["token.bias"], heads["document.bias"]])
        dtype = dtype or torch.float32
        return weights.to(device=device, dtype=dtype), biases.to(device=device, dtype=dtype)


def save(
    folder: Path,
    draft: BundleDraft,
    *,
    encoder: "dict[str, Tensor]",
    heads: "dict[str, Tensor]",
    tokenizer: Path,
    card: str,
) -> Bundle:
    """Writes a bundle beside its place and renames it there; an older bundle of that name is replaced.

    Args:
        folder: where the bundle is to stand.
        draft: all that is known but the hashes.
        encoder: the encoder's state; stored as float16, to which it should have been rounded before it was measured.
        heads: `token.weight` [d], `token.bias` [1], `document.weight` [d], `document.bias` [1]; stored as float32.
        tokenizer: the tokenizer.json to copy in. card: the README.md.
    """
    import torch
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    save_file({key: value.to(torch.float16).contiguous() for key, value in encoder.items()}, made / ENCODER)
    save_file({key: value.to(torch.float32).contiguous() for key, value in heads.items()}, made / HEADS)
    shutil.copyfile(tokenizer, made / TOKENIZER)
    (made / CARD).write_text(card, encoding="utf-8")
    loaded = ByteTokenizer.load(made / TOKENIZER)
    spec = BundleSpec(
        **draft.model_dump(),
        tokenizer=TokenizerFile(file=TOKENIZER, sha256=loaded.sha256, vocab_size=loaded.vocab_size),
        files={name: _sha256(made / name) for name in (ENCODER, HEADS, TOKENIZER)},
    )
    (made / SPEC).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # mkdtemp and safetensors make what only its owner can read; executors often run as another user.
    made.chmod(0o755)
    for path in made.iterdir():
        path.chmod(0o644)
    _put(made, folder)
    return Bundle.load(folder)


def resolve(reference: str) -> Path:
    """The folder of a bundle: a path that exists, else the name of a bundle installed under `conf/classifiers`.

    From a zipped wheel (`spark-submit --py-files`) the bundle is unpacked once into the temporary folder.

    Raises:
        BundleError: neither; the installed names are listed.
    """
    if Path(reference).exists():
        return Path(reference)
    known, name = installed_names("classifiers", SPEC), reference.removeprefix("conf/classifiers/")
    if name not in known:
        raise BundleError(
            f"classifier {reference!r} is neither an existing path nor an installed bundle; "
            f"installed: {', '.join(known) or 'none'}"
        )
    return installed_folder("classifiers", name)


def _put(made: Path, folder: Path) -> None:
    """Renames a finished folder to its place. Rename cannot replace a folder with files: an old one steps aside."""
    if folder.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, aside / folder.name)
        os.rename(made, folder)
        shutil.rmtree(aside)
    else:
        os.rename(made, folder)


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing, though {SPEC} names it; copy the whole bundle again")
    found = _sha256(path)
    if found != expected:
        raise BundleError(
            f"{path} is not the file that {SPEC} names: its SHA-256 is {found}, expected {expected}; "
            "it was changed or cut, copy the bundle again"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _id(content: Any) -> str:
    """First 16 hex digits of the SHA-256 of canonical JSON (sorted keys, no spaces), so layout does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _encoder_id(spec: BundleSpec) -> str:
    return _id(
        {
            "encoder": spec.encoder,
            "weights": spec.files[ENCODER],
            "tokenizer": spec.tokenizer.sha256,
            "window": spec.window,
            "margin": spec.margin,
        }
    )
