"""Reads a Hugging Face encoder from a local folder, or from the hub at a pinned revision, into our encoder's terms.

Safetensors and tokenizer.json only: no pickles, no code of the repository, no slow tokenizers, no missing weight made
up at random. The hub is asked only for a name that is no folder.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.udfs.encoders.encoder import EncoderError

if TYPE_CHECKING:
    from torch import Tensor

    from tokensieve.udfs.encoders.hugging_face import HuggingFace

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
FILES = [CONFIG, TOKENIZER, "model*.safetensors", "model.safetensors.index.json"]
# What config.json says of a task, a place or a library, and not of the model.
_NOT_THE_MODEL = (
    "_name_or_path",
    "transformers_version",
    "architectures",
    "id2label",
    "label2id",
    "auto_map",
    "dtype",
    "torch_dtype",
)


def find(name_or_folder: str | Path, revision: str | None) -> Path:
    """The folder of a model, downloaded first when a hub name is given.

    Raises:
        EncoderError: no such folder, a hub name without a commit, a commit for a folder, or the hub does not answer.
        ImportError: transformers, which brings the hub's client, is not installed.
    """
    path, name = Path(name_or_folder), str(name_or_folder)
    if path.is_dir():
        if revision is not None:
            raise EncoderError(f"{path} is a folder, which has no revision; leave the revision out")
        return path
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", name):
        raise EncoderError(f"{name} is neither a folder nor a model's name on the hub (owner/name)")
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise EncoderError(
            f"{name} is a model on the hub, so its revision must be a commit of 40 hex digits, not {revision!r}: a "
            "branch moves; the commit stands under `Files and versions` on the model's page"
        )
    return _download(name, revision)


def load(folder: Path, layers: Sequence[int]) -> "tuple[dict[str, Any], dict[str, Tensor], int | None]":
    """An encoder's configuration for `encoder.build`, its state, and the longest window it takes (None: any).

    Raises:
        EncoderError: a file is missing, a kind of model that is not known or sees one side only, or weights that do
            not fill it.
        ImportError: transformers is not installed.
    """
    import torch

    from tokensieve.udfs.encoders.encoder import build

    content = _content(folder)
    before, after = _around(folder, content)
    config = {"type": "huggingface", "model": content, "layers": list(layers), "before": before, "after": after}
    encoder: HuggingFace = build(config)  # type: ignore[assignment]  # the kind is named above
    encoder.model.load_state_dict(_weights(folder, encoder))
    if not _sees_right(encoder.eval()):
        raise EncoderError(f"{folder}: a token does not feel a later one; give a bidirectional encoder")
    state = {key: value.to(torch.float32) for key, value in encoder.state_dict().items()}
    return config, state, encoder.max_tokens


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise EncoderError(
            f"{name} at {revision} is not on this machine and could not be fetched ({type(error).__name__}); where the "
            f"network is, run `hf download {name} --revision {revision} --local-dir FOLDER`, then give that folder"
        ) from error


def _content(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise EncoderError(f"{folder} has no {CONFIG}: it is no Hugging Face model")
    content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key not in _NOT_THE_MODEL}


def _around(folder: Path, content: dict[str, Any]) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if not path.is_file():
        raise EncoderError(
            f"{folder} has no {TOKENIZER}; slow tokenizer files are not read. Write one with "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) from transformers"
        )
    tokenizer = Tokenizer.from_file(str(path))
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= content.get("vocab_size", 0):
        raise EncoderError(
            f"{path} has the id {highest}, but the model has {content.get('vocab_size')} embeddings; "
            "they do not belong together"
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    starts = [at for at in range(len(full) - len(plain) + 1) if full[at : at + len(plain)] == plain]
    if not plain or not starts:
        raise EncoderError(f"{path} gives no tokens for the text 'a'; it is not the tokenizer of a language model")
    return full[: starts[0]], full[starts[0] + len(plain) :]


def _weights(folder: Path, encoder: "HuggingFace") -> "dict[str, Tensor]":
    """The state of the cut model, as transformers renames what a task's checkpoint holds."""
    import torch

    kind = type(encoder.model)
    try:
        model, found = kind.from_pretrained(  # type: ignore[attr-defined]
            folder,
            config=encoder.model.config,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            **encoder.options,
        )
    except OSError as error:
        raise EncoderError(
            f"{folder} has no model.safetensors; pickled weights are not read. Write them with "
            f"AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER) where you trust the file ({error})"
        ) from error
    lacking = sorted(found["missing_keys"]) + sorted(map(str, found["mismatched_keys"]))
    if lacking:
        raise EncoderError(f"{folder}: the weights do not fill a {kind.__name__}: {', '.join(lacking[:5])} are missing")
    return model.state_dict()


def _sees_right(encoder: "HuggingFace") -> bool:
    import torch

    ids_T = torch.arange(8) + 8
    changed_T = ids_T.clone()
    changed_T[-1] += 1
    bounds_D1 = torch.tensor([0, 8])
    with torch.inference_mode():
        return not torch.equal(encoder(ids_T, bounds_D1)[:4], encoder(changed_T, bounds_D1)[:4])
