"""The classifier bundle: a folder that holds everything scoring needs, named and checked by content.

`bundle.json` (format tokensieve-bundle/2) carries the SHA-256 of every data file, so a bundle id names the weights,
the tokenizer and the thresholds at once, and a changed byte is refused before anything is scored. The card (README.md)
is prose and stands outside the id. Weights are safetensors only; torch is imported when a module is asked for.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tokensieve.udfs.bundles.bundle_checks import BundleError, check_heads, read_spec, tensor_shapes
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, BundleSpec, TokenizerFile
from tokensieve.udfs.encoders.encoder import KINDS, EncoderError, check_state, outline
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.files.hashed_folder import ChangedFile, check, hashes, new_folder
from tokensieve.udfs.files.installed import installed_folder, installed_names
from tokensieve.udfs.tokenizing.tokenizer import BackendName, ByteTokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tokensieve.udfs.bundles.heads import Heads

SPEC, CARD = "bundle.json", "README.md"
ENCODER, HEADS, TOKENIZER = "encoder.safetensors", "heads.safetensors", "tokenizer.json"


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
        """Reads and verifies a bundle folder, without torch.

        Raises:
            BundleError: bundle.json is missing or invalid, a file is missing or is not the one it names, or the heads'
                file does not hold what their kinds need.
        """
        path = Path(path)
        if not (path / SPEC).is_file():
            raise BundleError(f"{path} is no classifier bundle: it has no {SPEC}")
        content, spec = read_spec(path / SPEC)
        for name in (ENCODER, HEADS):
            if name not in spec.files:
                raise BundleError(f"{path / SPEC} names no SHA-256 for {name}; the bundle was not written by `save`")
        try:
            check(path, {**spec.files, spec.tokenizer.file: spec.tokenizer.sha256}, SPEC)
        except ChangedFile as error:
            raise BundleError(str(error)) from None
        if spec.encoder.get("type") not in KINDS:
            raise BundleError(
                f"{path / SPEC}: encoder type {spec.encoder.get('type')!r} is not known; "
                f"the known types are: {', '.join(KINDS)}"
            )
        found = tensor_shapes(path / HEADS)
        check_heads(spec, found, found.get("document.weight", (0,))[0], str(path / HEADS))
        return cls(path=path, spec=spec, bundle_id=content_id(content), encoder_id=_encoder_id(spec))

    @property
    def window(self) -> int:
        """Tokens of one window, as in `udfs.packing.windows.windows`."""
        return self.spec.window

    @property
    def margin(self) -> int:
        """Tokens at an inner edge of a window whose scores come from its neighbour."""
        return self.spec.margin

    @property
    def tokenizer_path(self) -> Path:
        """The verified tokenizer file."""
        return self.path / self.spec.tokenizer.file

    def tokenizer(self, backend: BackendName | Literal["auto"] | None = "auto") -> ByteTokenizer:
        """The bundle's tokenizer, by the fastest back end that makes its tokens; else as `ByteTokenizer.load`."""
        return ByteTokenizer.load(self.tokenizer_path, backend)

    def encoder(self, device: "torch.device | str" = "cpu", dtype: "torch.dtype | None" = None) -> "nn.Module":
        """The encoder (see `udfs.encoders.encoder.Encoder`) in evaluation mode, its weights cast to dtype (fp32).

        Raises:
            BundleError: the weights do not fill the encoder, or the heads read features of another width.
        """
        import torch
        from safetensors.torch import load_file

        from tokensieve.udfs.encoders.encoder import build

        config, state = dict(self.spec.encoder), load_file(self.path / ENCODER)
        try:
            check_state(config, state, str(self.path / ENCODER))
            module, known = build(config), outline(config)
        except EncoderError as error:
            raise BundleError(str(error)) from None
        check_heads(self.spec, tensor_shapes(self.path / HEADS), known.dim, str(self.path / HEADS))
        module.load_state_dict(state)
        module.to(device).eval().requires_grad_(False)
        # Weights only: a buffer is a table of rotary frequencies, of which bfloat16 would make other positions.
        for weight in module.parameters():
            weight.data = weight.data.to(dtype or torch.float32)
        return module

    def heads(self, device: "torch.device | str" = "cpu") -> "Heads":
        """The heads, in evaluation mode and float32."""
        from safetensors.torch import load_file

        from tokensieve.udfs.bundles.heads import Heads

        state = load_file(self.path / HEADS)
        module = Heads(self.spec.heads, state["document.weight"].shape[0])
        module.load_state_dict(state)
        return module.to(device).float().eval().requires_grad_(False)


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
        encoder: the encoder's state, stored as `stored` rounds it; it should be so rounded before it is measured.
        heads: the state of `udfs.bundles.heads.Heads`; stored as float32.
        tokenizer: the tokenizer.json to copy in. card: the README.md.

    Raises:
        BundleError: the encoder's state or the heads do not fit the draft, or the window not the encoder.
    """
    import torch
    from safetensors.torch import save_file

    try:
        known = outline(dict(draft.encoder))
        check_state(dict(draft.encoder), encoder, "the encoder's state")
    except EncoderError as error:
        raise BundleError(str(error)) from None
    if known.max_tokens is not None and draft.window > known.max_tokens:
        raise BundleError(f"window {draft.window} is longer than the {known.max_tokens} tokens the encoder can read")
    check_heads(draft, {key: tuple(value.shape) for key, value in heads.items()}, known.dim, "the heads' state")
    with new_folder(folder) as made:
        save_file({key: value.contiguous() for key, value in stored(encoder).items()}, made / ENCODER)
        save_file({key: value.to(torch.float32).contiguous() for key, value in heads.items()}, made / HEADS)
        shutil.copyfile(tokenizer, made / TOKENIZER)
        (made / CARD).write_text(card, encoding="utf-8")
        _write_spec(made, draft)
    return Bundle.load(folder)


def stored(encoder: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """An encoder's state as a bundle keeps it: float16, or float32 where a weight is too large for that."""
    import torch

    halves = {key: value.to(torch.float16) if value.is_floating_point() else value for key, value in encoder.items()}
    if all(bool(torch.isfinite(value).all()) for value in halves.values()):
        return halves
    return {key: value.to(torch.float32) if value.is_floating_point() else value for key, value in encoder.items()}


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


def _write_spec(made: Path, draft: BundleDraft) -> None:
    loaded = ByteTokenizer.load(made / TOKENIZER)
    spec = BundleSpec(
        **{name: getattr(draft, name) for name in BundleDraft.model_fields},
        tokenizer=TokenizerFile(file=TOKENIZER, sha256=loaded.sha256, vocab_size=loaded.vocab_size),
        files=hashes(made, [ENCODER, HEADS, TOKENIZER]),
    )
    (made / SPEC).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _encoder_id(spec: BundleSpec) -> str:
    return content_id(
        {
            "encoder": spec.encoder,
            "weights": spec.files[ENCODER],
            "tokenizer": spec.tokenizer.sha256,
            "window": spec.window,
            "margin": spec.margin,
        }
    )
