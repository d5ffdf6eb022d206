"""What can be wrong with a bundle's own account of itself; none of it needs torch.

Each check names the file, what it lacks and what to do: a bundle is made far from where it fails.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokensieve.udfs.bundles.bundle_spec import FORMAT, BundleDraft, BundleSpec

Shapes = dict[str, tuple[int, ...]]


class BundleError(Exception):
    """A bundle that is missing, incomplete, changed or not understood; the message says which and what to do."""


def read_spec(path: Path) -> tuple[Any, BundleSpec]:
    """The plain and the checked content of a bundle.json. Raises BundleError for another format."""
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
        if isinstance(content, dict) and content.get("format") == "tokensieve-bundle/1":
            raise BundleError(
                f"{path} is in the format tokensieve-bundle/1, and this version reads {FORMAT}; fit the classifier "
                "again with `tokensieve fit`, or take the bundle of this version"
            )
        return content, BundleSpec.model_validate_json(raw)
    except (ValidationError, json.JSONDecodeError) as error:
        raise BundleError(f"{path} is not in the format {FORMAT}: {error}") from None


def tensor_shapes(file_path: Path) -> Shapes:
    """Names and shapes in a safetensors file, from its header."""
    from safetensors import safe_open

    with safe_open(file_path, framework="numpy") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # not a dict


def check_heads(draft: BundleDraft, found: Shapes, width: int, where: str) -> None:
    """Raises BundleError unless the heads have the tensors that their kinds need for features of that width."""
    wanted = draft.heads.tensors(width)
    if lacking := sorted(wanted.keys() - found.keys()):
        raise BundleError(f"{where} lacks {', '.join(lacking)}, which heads of the kinds {_kinds(draft)} need")
    if strange := sorted(found.keys() - wanted.keys()):
        raise BundleError(f"{where} holds {', '.join(strange)}, which heads of the kinds {_kinds(draft)} do not have")
    if other := [key for key in wanted if wanted[key] != found[key]]:
        raise BundleError(
            f"{where}: {other[0]} has the shape {found[other[0]]}, but the encoder's features, {width} wide, need "
            f"{wanted[other[0]]}; the heads were fitted on another encoder or other layers"
        )


def _kinds(draft: BundleDraft) -> str:
    return f"{draft.heads.token.kind} (token) and {draft.heads.document.kind} (document)"
