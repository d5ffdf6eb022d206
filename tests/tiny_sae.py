"""A tiny Gemma 2 and a tiny SAE whose latents read planted words: real files, read by the real code.

Blocks are almost the identity, so a token's residual stream is its embedding at every layer. Ordinary words have no
part along the planted directions; planted ones have one of a known size, so what fires is known in advance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.bundles import small_tokenizer

SPECIAL = ("<pad>", "<eos>", "<bos>")  # ids 0, 1, 2: what Gemma2Config expects
WIDTH = 32
LATENTS = 64
STRONG = (3, 10)  # both read the direction of strong words: two votes make a seed
WEAK = (17,)  # reads the direction of weak words: they only carry a seed on


@dataclass(frozen=True, kw_only=True)
class TinySae:
    """Folders of a model and an SAE (as sae-lens saves it), and the latents that the planted words fire."""

    model: Path
    sae: Path
    layer: int
    latents: tuple[int, ...] = (*STRONG, *WEAK)


def tiny_gemma(
    folder: Path, texts: Iterable[str], *, layers: int = 3, quiet: bool = False, seed: int = 0, vocabulary: int = 400
) -> Path:
    """A random Gemma 2 of width 32 with a byte-level tokenizer trained on the texts; `quiet`: near-identity blocks."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    small_tokenizer(folder / "tokenizer.json", texts, vocabulary, SPECIAL)
    torch.manual_seed(seed)
    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=24,  # 2 x 24 = 48 values at `att`, so that a wrong hook cannot pass for the right one
        sliding_window=16,
        max_position_embeddings=256,
    )
    model = Gemma2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters() if quiet else ():
            # Gemma's norm multiplies by 1 + weight, so -1 mutes a block's two outputs.
            if "post_attention_layernorm" in name or "post_feedforward_layernorm" in name:
                weight.fill_(-1 + 1e-4)
    model.save_pretrained(folder)
    return folder


def tiny_jumprelu(
    folder: Path, *, layer: int, hook: str = "hook_resid_post", width: int = WIDTH, seed: int = 1, **config: Any
) -> Path:
    """A random JumpReLU SAE for a hook of that layer, saved by sae-lens."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    sae = JumpReLUSAE(JumpReLUSAEConfig(**_config(layer, hook, width) | config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(width, LATENTS, generator=generator) / width**0.5)
        sae.W_dec.copy_(torch.randn(LATENTS, width, generator=generator))
        sae.b_enc.copy_(torch.randn(LATENTS, generator=generator) * 0.1 - 0.2)
        sae.b_dec.copy_(torch.randn(width, generator=generator) * 0.1)
        sae.threshold.copy_(torch.rand(LATENTS, generator=generator) * 0.7 + 0.3)
    sae.save_model(str(folder))
    return folder


def plant(folder: Path, texts: Sequence[str], strong: Sequence[str], weak: Sequence[str], *, layer: int = 1) -> TinySae:
    """A model and an SAE in which latents STRONG fire on the strong words with activation 10, WEAK on the weak ones.

    A planted word is one token, alone and with the space before it. Raises ValueError where it is more: give a shorter
    word, or less text for the tokenizer to learn.
    """
    alone = [word for word in (*strong, *weak) for _ in range(50)]
    model = tiny_gemma(folder / "model", [*texts, *alone, *(f" {word}" for word in alone)], quiet=True)
    tokens_of_strong, tokens_of_weak = (_tokens(model, words) for words in (strong, weak))
    directions = torch.linalg.qr(torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(2)))[0].T
    _plant_embeddings(model, directions, tokens_of_strong, tokens_of_weak)
    sae = _planted_sae(folder / "sae", directions, layer)
    return TinySae(model=model, sae=sae, layer=layer)


def _config(layer: int, hook: str, width: int) -> dict[str, Any]:
    from sae_lens.saes.sae import SAEMetadata

    metadata = SAEMetadata(model_name="tiny-gemma", hook_name=f"blocks.{layer}.{hook}", prepend_bos=True)
    shape = {"d_in": width, "d_sae": LATENTS, "dtype": "float32", "device": "cpu"}
    return shape | {"metadata": metadata, "apply_b_dec_to_input": False}


def _tokens(model: Path, words: Sequence[str]) -> list[int]:
    from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

    forms = [form for word in words for form in (word, f" {word}")]
    found = ByteTokenizer.load(model / "tokenizer.json").encode(forms)
    if len(found.ids_T) != len(forms):
        raise ValueError(f"one of {forms} is not one token: {np.diff(found.bounds_D1).tolist()}")
    return found.ids_T.tolist()


def _plant_embeddings(model: Path, directions: torch.Tensor, strong: list[int], weak: list[int]) -> None:
    from safetensors.torch import load_file, save_file

    file = model / "model.safetensors"
    state = load_file(file)
    embedding = state["model.embed_tokens.weight"]
    embedding -= embedding @ directions.T @ directions
    size = 10 / WIDTH**0.5  # Gemma multiplies embeddings by the root of the width
    embedding[strong] += size * directions[0]
    embedding[weak] += size * directions[1]
    save_file(state, file, metadata={"format": "pt"})


def _planted_sae(folder: Path, directions: torch.Tensor, layer: int) -> Path:
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    sae = JumpReLUSAE(JumpReLUSAEConfig(**_config(layer, "hook_resid_post", WIDTH)))
    with torch.no_grad():
        sae.W_enc.zero_()
        for latents, direction in ((STRONG, directions[0]), (WEAK, directions[1])):
            sae.W_enc[:, latents] = direction[:, None].expand(-1, len(latents)).clone()
        sae.W_dec.copy_(sae.W_enc.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
        sae.threshold.fill_(1.0)
    sae.save_model(str(folder))
    return folder
