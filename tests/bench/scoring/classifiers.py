"""The classifiers that are timed: the bundled tiny one, and an encoder of 20 M parameters with random weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tokensieve.udfs.bundles.bundle import Bundle, save
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, Threshold
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.scoring.scorer import ScorerSettings

POLICY = "medicine"
TINY = Path(__file__).resolve().parents[3] / "conf" / "classifiers" / "medicine-tiny"
WINDOW, MARGIN = 1024, 128
MODEL = {
    "model_type": "modernbert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "intermediate_size": 576,
    "vocab_size": 32_768,  # more than the tokenizer has: what a vocabulary of that size costs in memory
    "max_position_embeddings": WINDOW,
    "layer_types": ["full_attention"] * 6,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "cls_token_id": 0,
    "sep_token_id": 0,
}


def tiny() -> Bundle:
    """The bundled classifier, a `sliding` encoder of 1.7 M parameters, trained."""
    return Bundle.load(TINY)


def encoder_20m(folder: Path) -> Bundle:
    """A ModernBERT of 6 layers that transformers can run too, with tiny's tokenizer; its scores mean nothing."""
    torch.manual_seed(0)
    shape = {"type": "huggingface", "model": MODEL, "layers": [6]}
    encoder, width = build(dict(shape)), MODEL["hidden_size"]
    heads = {f"{head}.weight": torch.randn(width) / width**0.5 for head in ("token", "document")}
    draft = BundleDraft(
        name="encoder-20m",
        policy=POLICY,
        encoder=shape,
        window=WINDOW,
        margin=MARGIN,
        thresholds={"token": Threshold(value=0.5, how="made up")},
        training_data=[],
        metrics={},
    )
    biases = {f"{head}.bias": torch.zeros(1) for head in ("token", "document")}
    tokenizer = tiny().tokenizer_path
    return save(
        folder, draft, encoder=encoder.state_dict(), heads=heads | biases, tokenizer=tokenizer, card="random weights\n"
    )


def settings(bundle: Bundle, **others: object) -> ScorerSettings:
    """How a task on one core scores with this bundle."""
    bundles = ((POLICY, str(bundle.path.absolute()), bundle.bundle_id),)
    return ScorerSettings(**{"bundles": bundles, "device": "cpu", "dtype": "float32", "threads": 1, **others})


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a classifier must multiply for a token: weights outside the embedding, and attention."""

    weights: int
    attention: int  # FLOP for each token that a token sees
    sees: int  # tokens at most

    @classmethod
    def of(cls, bundle: Bundle) -> "Work":
        """Counted from the modules of the bundle's encoder."""
        shape = bundle.spec.encoder
        weights = sum(one.weight.numel() for one in bundle.encoder().modules() if isinstance(one, nn.Linear))
        if shape["type"] == "huggingface":
            return cls(weights=weights, attention=4 * MODEL["num_hidden_layers"] * MODEL["hidden_size"], sees=WINDOW)
        dim, layers, reach = (int(shape[name]) for name in ("dim", "layers", "reach"))  # type: ignore[arg-type]
        return cls(weights=weights, attention=4 * layers * dim, sees=2 * reach + 1)

    def flops(self, lengths_D: np.ndarray) -> float:
        """Useful FLOP of documents of these lengths: no padding, no token twice."""
        pairs = lengths_D.astype(np.float64) * np.minimum(lengths_D, self.sees)
        return float(2 * self.weights * lengths_D.sum() + self.attention * pairs.sum())


def gemm_flops() -> float:
    """FLOP a CPU second of the best of several float32 products of one core, shaped as in encoders and square."""
    best = 0.0
    for rows, wide, out in ((2048, 384, 1152), (2048, 1152, 384), (2048, 128, 384), (1024, 1024, 1024)):
        best = max(best, _linear_flops(rows, wide, out))
    return best


def _linear_flops(rows: int, wide: int, out: int) -> float:
    from tests.bench.scoring.runs import timed

    x, layer = torch.randn(rows, wide), nn.Linear(wide, out, bias=False)
    times = max(1, int(4e9 / (2 * rows * wide * out)))
    with torch.inference_mode():
        runs = [timed(lambda: float(sum(len(layer(x)) for _ in range(times)))) for _ in range(3)]
    return 2 * rows * wide * out * times / min(run.cpu_s for run in runs[1:])
