"""Cuts the kept latents out of an SAE that sae-lens loaded.

A slice is refused where it would not be exact, and what was cut is compared with the whole SAE on random inputs.
"""

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tokensieve.udfs.sae.slice import SaeError, SaeSlice, SaeSpec

if TYPE_CHECKING:
    from sae_lens import SAE

_HOOKS: tuple[tuple[str, Literal["res", "mlp", "att"]], ...] = (
    (r"blocks\.(\d+)\.hook_resid_post", "res"),
    (r"blocks\.(\d+)\.hook_mlp_out", "mlp"),
    (r"blocks\.(\d+)\.attn\.hook_z", "att"),
)
_RANKED = "whether a latent fires depends on all the others, so a slice fires on other tokens than the whole SAE does"
_WRITES = "it reads another place than it writes, which our hooks do not offer"
REFUSED = {
    "topk": _RANKED,
    "abstopk": _RANKED,
    "batchtopk": _RANKED,
    "matching_pursuit": _RANKED,
    "temporal": "a latent depends on earlier tokens",
    "gated": "a latent has a gate and a magnitude, which our file does not hold",
    "transcoder": _WRITES,
    "skip_transcoder": _WRITES,
    "jumprelu_transcoder": _WRITES,
    "jumprelu_skip_transcoder": _WRITES,
}
_TRIALS = 256  # random inputs on which slice and whole are compared


def cut(
    sae: "SAE[Any]", latents: tuple[int, ...] | None, *, release: str | None = None, sae_id: str | None = None
) -> SaeSlice:
    """The slice of an SAE that sae-lens loaded; `latents` None keeps all.

    Raises SaeError: an architecture, an input normalisation or a hook that our file cannot express, unknown latents.
    """
    import torch

    _check_exact(sae)
    layer, hook = _hook(sae)
    ids_K = np.arange(sae.cfg.d_sae, dtype=np.int32) if latents is None else np.array(latents, dtype=np.int32)
    if ids_K[-1] >= sae.cfg.d_sae:
        raise SaeError(f"sae.latents: {int(ids_K[-1])} is too high, the SAE has {sae.cfg.d_sae} latents, from 0")
    with torch.no_grad():
        weight_DK = sae.W_enc.float()[:, ids_K.tolist()]
        bias_K = sae.b_enc.float()[ids_K.tolist()]  # type: ignore[index, operator]
        if sae.cfg.apply_b_dec_to_input:
            bias_K = bias_K - sae.b_dec.float() @ weight_DK
        threshold_K = _threshold(sae)[ids_K.tolist()]
    kept = SaeSlice(
        spec=SaeSpec(
            architecture=sae.cfg.architecture(),  # type: ignore[arg-type]
            release=release,
            sae_id=sae_id,
            layer=layer,
            hook=hook,
            d_in=sae.cfg.d_in,
            d_sae=sae.cfg.d_sae,
            model=sae.cfg.metadata.model_name,
            prepend_bos=_prepend_bos(sae),
            neuronpedia_id=sae.cfg.metadata.neuronpedia_id,
            source_sha256=_encoder_sha256(sae),
        ),
        weight_KD=np.ascontiguousarray(weight_DK.T.numpy()),
        bias_K=bias_K.numpy(),
        threshold_K=threshold_K.numpy(),
        latent_id_K=ids_K,
    )
    _compare(sae, kept)
    return kept


def _check_exact(sae: "SAE[Any]") -> None:
    architecture = sae.cfg.architecture()
    if architecture not in ("jumprelu", "standard"):
        why = REFUSED.get(architecture, "this architecture is not known to us")
        raise SaeError(
            f"an SAE of architecture {architecture} cannot be sliced: {why}; choose a jumprelu or standard (ReLU) one, "
            "such as those of Gemma Scope"
        )
    if sae.cfg.normalize_activations not in (None, "none"):
        raise SaeError(
            f"the SAE normalises its input ({sae.cfg.normalize_activations}), which a slice does not hold; choose one "
            "without, or fold the normalisation into its weights with sae-lens first"
        )


def _hook(sae: "SAE[Any]") -> tuple[int, Literal["res", "mlp", "att"]]:
    name = str(sae.cfg.metadata.hook_name)
    for pattern, hook in _HOOKS:
        match = re.fullmatch(pattern, name)
        if match:
            return int(match.group(1)), hook
    raise SaeError(
        f"the SAE reads {name}; we read hook_resid_post, hook_mlp_out and attn.hook_z of a block: choose such an SAE"
    )


def _prepend_bos(sae: "SAE[Any]") -> bool:
    given = sae.cfg.metadata.prepend_bos
    if given is None:
        raise SaeError(
            "the SAE's metadata does not say prepend_bos, and activations differ much with and without BOS; add it to "
            "its cfg.json as it was trained"
        )
    return bool(given)


def _threshold(sae: "SAE[Any]") -> Any:
    import torch

    return sae.threshold.float() if sae.cfg.architecture() == "jumprelu" else torch.zeros(sae.cfg.d_sae)  # type: ignore[operator, union-attr]


def _encoder_sha256(sae: "SAE[Any]") -> str:
    digest = hashlib.sha256()
    for tensor in (sae.W_enc, sae.b_enc, sae.b_dec, _threshold(sae)):
        digest.update(np.ascontiguousarray(tensor.detach().float().numpy()))  # type: ignore[operator, union-attr]
    return digest.hexdigest()


def _compare(sae: "SAE[Any]", kept: SaeSlice) -> None:
    """Raises SaeError unless the slice says what the whole SAE says; other GEMM blocking is allowed for."""
    import torch

    x_TD = torch.randn(_TRIALS, sae.cfg.d_in, generator=torch.Generator().manual_seed(0)) * 4
    sae.turn_off_forward_pass_hook_z_reshaping()  # our hook gives heads end to end already
    with torch.no_grad():
        whole_TK = sae.encode(x_TD)[:, kept.latent_id_K.tolist()]
    ours_TK = kept.encode(x_TD)
    support = ((whole_TK > 0) != (ours_TK > 0)).float().mean().item()
    if support > 1e-4 or not torch.allclose(whole_TK * (ours_TK > 0), ours_TK * (whole_TK > 0), rtol=1e-4, atol=1e-3):
        raise SaeError(
            f"the slice does not say what the whole SAE says ({support:.2%} of activations differ in whether they "
            "fire); this SAE does something that our file cannot express"
        )
