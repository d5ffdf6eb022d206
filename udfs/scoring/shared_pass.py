"""One encoder pass and who shares it: policies whose bundles have the same encoder are scored by one back end."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokensieve.udfs.bundles.bundle import Bundle, resolve
from tokensieve.udfs.scoring.backends.backend import Backend, BackendName
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@dataclass(frozen=True, kw_only=True)
class SharedPass:
    """An encoder with the heads of all P policies that share it, two values a token each."""

    bundle: Bundle  # of the first policy: encoder, tokenizer, window and margin are those of all
    policies: tuple[tuple[str, str], ...]  # (policy, bundle_id)
    tokenizer: ByteTokenizer
    backend: Backend


def load_passes(
    bundles: tuple[tuple[str, str, str], ...],
    backend: BackendName,
    *,
    device: str,
    dtype: str,
    threads: int,
    token_budget: int,
) -> tuple[SharedPass, ...]:
    """The passes of (policy, reference, bundle_id), each encoder loaded once; the rest as in `build_backend`.

    Raises ValueError when a bundle on this machine is not the one that the job was planned with, else as
    `build_backend`.
    """
    groups: dict[str, list[tuple[str, Bundle]]] = {}
    for policy, reference, bundle_id in bundles:
        bundle = Bundle.load(resolve(reference))
        if bundle.bundle_id != bundle_id:
            raise ValueError(
                f"policy {policy}: bundle {reference} is {bundle.bundle_id} on this machine, but the job was "
                f"planned with {bundle_id}; install the same bundle on every node"
            )
        groups.setdefault(bundle.encoder_id, []).append((policy, bundle))
    return tuple(
        SharedPass(
            bundle=members[0][1],
            policies=tuple((policy, bundle.bundle_id) for policy, bundle in members),
            tokenizer=members[0][1].tokenizer(),
            backend=build_backend(
                backend,
                [bundle for _, bundle in members],
                device=device,
                dtype=dtype,
                threads=threads,
                token_budget=token_budget,
            ),
        )
        for members in groups.values()
    )


def build_backend(
    name: BackendName, members: "Sequence[Bundle]", *, device: str, dtype: str, threads: int, token_budget: int
) -> Backend:
    """The back end of bundles that share one encoder.

    Args:
        device: `cpu`, `cuda` or `cuda:N`. dtype: `float32` or `bfloat16`.
        threads: cores for one forward pass on a CPU. token_budget: tokens of the largest pack.

    Raises:
        ImportError: torch is not installed.
        ValueError: `compile` for an encoder that is not made of blocks that can be compiled.
    """
    if device != "cpu":
        from tokensieve.udfs.scoring.backends.cuda import CudaBackend
        from tokensieve.udfs.scoring.backends.halving import Halving

        cuda = CudaBackend(members, device=device, dtype=dtype, compile=name == "compile", token_budget=token_budget)
        return Halving(cuda)
    import torch

    from tokensieve.udfs.scoring.backends.torch_packed import TorchPacked

    torch.set_num_threads(threads)
    return TorchPacked(members, dtype=dtype, compile=name == "compile", token_budget=token_budget)
