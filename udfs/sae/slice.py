"""Our file of a sparse autoencoder: the encoder rows of the kept latents, so that no library of SAEs runs in a worker.

Only architectures in which a latent does not depend on the others exist here (JumpReLU, ReLU): their slice is exact.
A bias that the SAE takes off its input is folded into `b`. 600 of 16,384 latents at width 3,584 are 8.6 MB.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "tokensieve-sae/1"
KEYS = ("W", "b", "threshold", "latent_id")
_HEADER = "tokensieve"  # one key of metadata: safetensors does not keep the order of several, and bytes must repeat


class SaeError(Exception):
    """A slice, a model or statistics that do not fit each other; the message names them and says what to do."""


class SaeSpec(BaseModel):
    """Where a slice comes from, and which values of which model it reads.

    Attributes:
        release, sae_id: the released SAE; None for one from a folder.
        layer: block whose values are read, from 0.
        hook: res, the block's output; mlp, the MLP's output after its norm; att, the input of the output projection.
        d_in, d_sae: width of those values; latents of the whole SAE.
        model: the model's name in the SAE's metadata, which need not be its name on the hub.
        prepend_bos: the SAE was trained on texts that begin with the BOS token.
        source_sha256: SHA-256 of the whole SAE's encoder tensors in float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["jumprelu", "standard"]
    release: str | None = None
    sae_id: str | None = None
    layer: int = Field(ge=0)
    hook: Literal["res", "mlp", "att"]
    d_in: int = Field(ge=1)
    d_sae: int = Field(ge=1)
    model: str | None = None
    prepend_bos: bool
    neuronpedia_id: str | None = None
    source_sha256: str


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-sae/1"] = FORMAT
    slice_id: str
    spec: SaeSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class SaeSlice:
    """K latents of an SAE, by ascending id.

    Attributes:
        weight_KD: float32 encoder rows; bias_K, threshold_K: float32 (the threshold of a ReLU is 0).
        latent_id_K: int32, the latents' numbers in the whole SAE.

    Raises SaeError when the arrays do not fit the spec.
    """

    spec: SaeSpec
    weight_KD: np.ndarray
    bias_K: np.ndarray
    threshold_K: np.ndarray
    latent_id_K: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.latent_id_K)
        if self.weight_KD.shape != (count, self.spec.d_in):
            raise SaeError(
                f"W is {list(self.weight_KD.shape)}, but {count} latents of width {self.spec.d_in} are named"
            )
        if not (len(self.bias_K) == len(self.threshold_K) == count > 0):
            raise SaeError(f"{count} latents, {len(self.bias_K)} biases and {len(self.threshold_K)} thresholds")
        if (np.diff(self.latent_id_K) <= 0).any() or self.latent_id_K[0] < 0 or self.latent_id_K[-1] >= self.spec.d_sae:
            raise SaeError(f"latent ids must ascend within 0..{self.spec.d_sae - 1}")

    @cached_property
    def slice_id(self) -> str:
        """16 hex digits of the SHA-256 of spec and tensors."""
        digest = hashlib.sha256(self.spec.model_dump_json().encode())
        for array in self._tensors().values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def encode(self, x_TD: "Tensor") -> "Tensor":
        """Activations, float32 [T, K] on the device of x_TD: W x + b above the threshold and above 0, else 0.

        Always in float32: in bfloat16 one of 1,400 latents near its threshold fires or fails to.
        """
        import torch

        # The copy to the device is small beside the forward pass whose output this reads.
        weight_KD, bias_K, threshold_K = (
            torch.from_numpy(array).to(x_TD.device) for array in (self.weight_KD, self.bias_K, self.threshold_K)
        )
        pre_TK = x_TD.float() @ weight_KD.T + bias_K
        return torch.where((pre_TK > threshold_K) & (pre_TK > 0), pre_TK, 0)

    def where(self, latents: Sequence[int]) -> "SaeSlice":
        """The slice of some of these latents. Raises SaeError naming those that are not here."""
        wanted = np.unique(np.asarray(latents, dtype=np.int64))
        missing = np.setdiff1d(wanted, self.latent_id_K)
        if len(missing):
            raise SaeError(
                f"slice {self.slice_id} has no latents {missing[:10].tolist()}; it keeps {len(self.latent_id_K)} of "
                f"{self.spec.d_sae}: run `tokensieve label sae export` with these latents, then stats"
            )
        at = np.searchsorted(self.latent_id_K, wanted)
        return SaeSlice(
            spec=self.spec,
            weight_KD=self.weight_KD[at],
            bias_K=self.bias_K[at],
            threshold_K=self.threshold_K[at],
            latent_id_K=self.latent_id_K[at],
        )

    def save(self, path: str | Path) -> None:
        """Writes the file in one step; equal slices give equal bytes."""
        path = Path(path)
        header = _Header(slice_id=self.slice_id, spec=self.spec)
        data = safetensors_bytes(self._tensors(), metadata={_HEADER: header.model_dump_json()})
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(data)
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "SaeSlice":
        """Reads and verifies a slice. Raises SaeError: no file, not our format, a missing tensor, changed content."""
        path = Path(path)
        if not path.is_file():
            raise SaeError(f"{path}: no such SAE slice; run `tokensieve label sae export`")
        try:
            with safe_open(str(path), framework="numpy") as file:
                header = _header(path, file.metadata())
                missing = sorted(set(KEYS) - set(file.keys()))
                if missing:
                    raise SaeError(f"{path}: lacks {', '.join(missing)}; export the slice again")
                weight, bias, threshold, latent_id = (file.get_tensor(key) for key in KEYS)
        except SafetensorError as error:
            raise SaeError(f"{path}: not a safetensors file ({error}); export the slice again") from error
        try:
            found = cls(spec=header.spec, weight_KD=weight, bias_K=bias, threshold_K=threshold, latent_id_K=latent_id)
        except SaeError as error:
            raise SaeError(f"{path}: {error}; export the slice again") from error
        if found.slice_id != header.slice_id:
            raise SaeError(
                f"{path}: changed after it was written: its content is {found.slice_id}, it says {header.slice_id}; "
                "export the slice again"
            )
        return found

    def _tensors(self) -> dict[str, np.ndarray]:
        arrays = (self.weight_KD, self.bias_K, self.threshold_K, self.latent_id_K)
        types = (np.float32, np.float32, np.float32, np.int32)
        return {key: np.ascontiguousarray(array, dtype) for key, array, dtype in zip(KEYS, arrays, types, strict=True)}


def _header(path: Path, metadata: dict[str, str] | None) -> _Header:
    text = (metadata or {}).get(_HEADER)
    if text is None:
        raise SaeError(f"{path}: a safetensors file, but not an SAE slice of ours; run `tokensieve label sae export`")
    try:
        return _Header.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise SaeError(f"{path}: its metadata is not of {FORMAT}: {error}; export the slice again") from error
