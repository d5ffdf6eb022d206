"""A classifier bundle by name, ready to run beside Spark; what is wrong with it is said in words for its user."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from tokensieve.jobs.errors import InputError

if TYPE_CHECKING:
    from tokensieve.pretrain.measuring.model import Model
    from tokensieve.udfs.bundles.bundle import Bundle


class ComputeConfig(BaseModel):
    """Where the classifier runs, as in section `score` of a corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    token_budget: int = Field(default=4096, ge=1)
    threads: int = Field(default=2, ge=1)


def open_bundle(reference: str, compute: ComputeConfig) -> "tuple[Bundle, Model]":
    """A verified bundle and its scorer. Raises BundleError, InputError when it cannot run on this machine."""
    from tokensieve.pretrain.measuring.model import bundle_model
    from tokensieve.udfs.bundles.bundle import Bundle, resolve

    bundle = Bundle.load(resolve(reference))
    try:
        model = bundle_model(
            bundle,
            device=compute.device,
            dtype=compute.dtype,
            token_budget=compute.token_budget,
            threads=compute.threads,
        )
    except ValueError as error:
        raise InputError(f"bundle {reference}: {error}") from error
    return bundle, model


def definition_id(definition: str | None) -> str | None:
    """The hash of a policy; None stays. Raises ConfigError."""
    from tokensieve.jobs.policies.definition import load_definition

    return None if definition is None else load_definition(definition).definition_id


@contextmanager
def input_errors() -> Iterator[None]:
    """Turns what a user can act on into InputError; LabelError stays, for it says enough."""
    from tokensieve.pretrain.errors import FitError, ReportError
    from tokensieve.udfs.bundles.bundle_checks import BundleError
    from tokensieve.udfs.encoders.encoder import EncoderError

    try:
        yield
    except (FitError, ReportError, BundleError, EncoderError, FileNotFoundError, ImportError) as error:
        raise InputError(str(error)) from error
