"""Section `sae` of a labelling project: which SAE of which model, how a token becomes a seed, how the model is run."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tokensieve.udfs.sae.statistics import Rule

SET_NAME = r"^[a-z][a-z0-9_-]*$"  # what a label set may be called: it is a folder's name
SetName = Annotated[str, Field(pattern=SET_NAME)]


class VotesConfig(BaseModel):
    """Section `sae.votes`: votes that weigh as much as their latent's score, instead of a plain count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    """A JSON object {latent id: weight}, or a Parquet file with `latent_id` and `score`, as `describe` writes it."""
    needed: float = Field(gt=0)
    """A token is a seed when the weights of its voting latents come to this sum."""


class SaeConfig(BaseModel):
    """Section `sae`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    release: str | None = None
    """A release that sae-lens knows, such as gemma-scope-9b-pt-res-canonical."""
    sae_id: str | None = None
    """Which SAE of the release, such as layer_31/width_16k/canonical."""
    path: str | None = None
    """Instead of a release: a folder that sae-lens wrote (cfg.json, sae_weights.safetensors)."""
    slice: str | None = None
    """Our file of the kept latents; None: sae/slice.safetensors below tables.root."""
    latents: tuple[int, ...] | str | None = None
    """What `export` keeps: ids, a file of them (JSON: a list, or one under `latents`; Parquet: column `latent_id`), or
    "all", which None means too. `label` uses them where there is no sae/selected.json below tables.root, and there
    all must be said."""
    model: str
    """The language model: a folder with config.json, tokenizer.json and safetensors, or a hub name."""
    revision: str | None = None
    """The commit of a hub name, 40 hex digits."""

    rule: Rule = "mean_std_all"
    k: float = Field(default=4, ge=0)
    """A latent votes above its mean + k standard deviations."""
    min_latents: int = Field(default=2, ge=1)
    """Votes that make a token a seed."""
    votes: VotesConfig | None = None
    """Weighted votes; `min_latents` then does not count."""
    propagate: bool = True
    """Seeds spread to touching tokens on which any kept latent is active."""
    cross_check: SetName | None = None
    """A label set of sentences, such as claude-sentences: bytes that it calls retain become unknown, not forget."""
    output: SetName = "sae"
    """The label set that `label` writes."""

    contexts: int = Field(default=20, ge=1)
    """Top contexts kept per latent, one a document at most."""
    context_bytes: int = Field(default=240, ge=0)
    """Text on each side of a context's strongest token, UTF-8 bytes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the model; auto: bfloat16 on CUDA, float32 on CPU. The SAE's own step is always float32."""
    attention: Literal["eager", "sdpa", "flash_attention_2", "flex_attention"] = "eager"
    """Attention in transformers; Gemma 2 caps its logits, which sdpa cannot."""
    window: int = Field(default=1023, ge=2)
    """Tokens of text per forward pass and row; BOS comes on top. Gemma Scope was trained on 1,024 in all."""
    margin: int = Field(default=128, ge=0)
    """Left context that a token of a later window has at least, tokens."""
    token_budget: int = Field(default=8192, ge=1)
    """Padded tokens per forward pass."""
    threads_per_task: int = Field(default=1, ge=1)

    @field_validator("revision")
    @classmethod
    def _pinned(cls, revision: str | None) -> str | None:
        if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise ValueError("a branch or a tag moves; give the commit, 40 hex digits")
        return revision

    @model_validator(mode="after")
    def _consistent(self) -> "SaeConfig":
        if (self.release is None) != (self.sae_id is None):
            raise ValueError("release and sae_id come together")
        if self.release is not None and self.path is not None:
            raise ValueError("give release and sae_id, or path, not both")
        if 2 * self.margin >= self.window:
            raise ValueError(f"window {self.window} must be more than twice the margin {self.margin}")
        if self.cross_check == self.output:
            raise ValueError("cross_check names the label set that this verb writes")
        return self
