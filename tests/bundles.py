"""Small classifier bundles with made-up weights: real files, real scoring, known outcome where a test needs one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokensieve.udfs.bundles.bundle import Bundle, save
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, Threshold
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.scoring.batch_group import Scored
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings

SHAPE = {"type": "sliding", "vocab_size": 600, "dim": 16, "layers": 2, "heads": 2, "hidden": 32, "reach": 8}


def small_tokenizer(path: Path, texts: Iterable[str], size: int = 600, special: tuple[str, ...] = ()) -> Path:
    """Trains a byte-level BPE tokenizer on texts and saves it at `path`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return path


def random_bundle(
    folder: Path,
    seed: int = 0,
    *,
    encoder_seed: int = 0,
    head_scale: float = 1.0,
    texts: Iterable[str] = (),
    shape: dict[str, Any] | None = None,
    window: tuple[int, int] = (64, 16),
) -> Bundle:
    """A bundle with random weights. Equal `encoder_seed`: a shared encoder; `seed` decides the heads.

    `head_scale` may be NaN, for a classifier that breaks. `window`: its tokens and its margin.
    """
    shape = {**SHAPE, **(shape or {})}
    torch.manual_seed(encoder_seed)
    encoder = build(dict(shape))
    torch.manual_seed(seed)
    heads = {
        "token.weight": torch.randn(shape["dim"]) * head_scale,
        "token.bias": torch.zeros(1),
        "document.weight": torch.randn(shape["dim"]),
        "document.bias": torch.zeros(1),
    }
    tokenizer = small_tokenizer(folder.parent / f"{folder.name}-tokenizer.json", texts)
    draft = BundleDraft(
        name=folder.name,
        policy="test",
        encoder=dict(shape),
        window=window[0],
        margin=window[1],
        thresholds={"token": Threshold(value=0.5, how="made up")},
        training_data=[],
        metrics={},
    )
    return save(folder, draft, encoder=encoder.state_dict(), heads=heads, tokenizer=tokenizer, card="made up\n")


def score_texts(bundle: Bundle, texts: list[str]) -> Scored:
    """What a scoring job stores of the texts, on the CPU."""
    settings = ScorerSettings(
        bundles=(("p", str(bundle.path), bundle.bundle_id),),
        device="cpu",
        dtype="float32",
        token_budget=4096,
        threads=1,
    )
    return Scorer(settings)(texts)["p"]
