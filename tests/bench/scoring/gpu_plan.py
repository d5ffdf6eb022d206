"""What the GPU bench scores: a classifier of a stated shape with random weights, and documents of true lengths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from tests.bundles import small_tokenizer
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.bundles.bundle import save as save_bundle
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, Threshold
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.encoders.transformer import SHAPES
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
WINDOW, MARGIN = 1024, 128


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run: `layers` of the encoder are built, the features are those after the last; peak_size of a matmul."""

    device: str
    dtype: str
    vocab_size: int
    dim: int
    heads: int
    hidden: int
    layers: int
    budgets: tuple[int, ...]
    bare_tokens: int
    text_tokens: int
    peak_size: int
    rounds: int = 3

    @property
    def encoder(self) -> dict[str, Any]:
        """The configuration of `udfs.encoders.encoder.build`."""
        shape = {name: getattr(self, name) for name in ("vocab_size", "dim", "heads", "hidden")}
        return {"type": "bilm", **shape, "layers": [self.layers]}

    def flops(self, lengths_W: np.ndarray) -> float:
        """Useful ones for windows of these lengths: 2 a weight outside the embedding and token, and attention's own."""
        weights = self.layers * (4 * self.dim**2 + 2 * self.dim * self.hidden)
        lengths_W = lengths_W.astype(np.float64)
        pairs = float((lengths_W * (lengths_W + 1) / 2).sum())  # causal: a token sees those up to itself
        return 2 * (2 * weights * float(lengths_W.sum()) + 4 * self.dim * self.layers * pairs)


def paper(device: str) -> Plan:
    """The 224M shape read after layer 13 of 14 (arXiv 2601.21571), with GPT-2's vocabulary as ladders here pad it."""
    shape = {name: value for name, value in SHAPES["224M"].items() if name != "layers"}
    budgets = (32_768, 65_536, 131_072, 262_144)
    return Plan(
        device=device,
        dtype="bfloat16",
        vocab_size=50_304,
        layers=13,
        budgets=budgets,
        bare_tokens=2_000_000,
        text_tokens=5_000_000,
        peak_size=8192,
        **shape,
    )


def small(device: str) -> Plan:
    """A shape that a CPU runs in seconds."""
    few = {"dim": 32, "heads": 2, "hidden": 64, "layers": 2, "budgets": (1024, 4096)}
    sizes = {"bare_tokens": 8_000, "text_tokens": 8_000, "peak_size": 512}
    return replace(paper(device), dtype="float32" if device == "cpu" else "bfloat16", **few, **sizes)


def texts(tokens: int) -> tuple[list[str], str]:
    """Documents of about so many tokens, and what they are."""
    files = sorted((DATA / "corpus").glob("train-*.parquet"))
    found: list[str] = []
    count = 0
    for file in files:
        rows = pq.read_table(file, columns=["text", "token_count"])
        found += rows["text"].to_pylist()
        count += sum(rows["token_count"].to_pylist())
        if count >= tokens:
            break
    if files:
        return found, f"{len(found)} documents of the corpus"
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(2000)])
    while count < tokens:
        # The corpus's lengths: median 400 tokens, 16 % above 3,000.
        length = int(np.clip(rng.lognormal(6.0, 2.0), 8, 50_000))
        found.append(" ".join(rng.choice(words, length)))
        count += length
    return found, f"{len(found)} documents of made-up words, log-normal lengths (the corpus is not there)"


def make_bundle(folder: Path, plan: Plan, documents: Sequence[str]) -> Bundle:
    """A classifier of the plan's shape with random weights."""
    torch.manual_seed(0)
    encoder = build(plan.encoder)
    width = 2 * plan.dim
    draft = BundleDraft(
        name="bench",
        policy="bench",
        encoder=plan.encoder,
        window=WINDOW,
        margin=MARGIN,
        thresholds={"token": Threshold(value=0.5, how="made up")},
        training_data=[],
        metrics={},
    )
    heads = {
        "token.weight": torch.randn(width) / width,
        "token.bias": torch.zeros(1),
        "document.weight": torch.randn(width) / width,
        "document.bias": torch.zeros(1),
    }
    return save_bundle(
        folder / "bench",
        draft,
        encoder=encoder.state_dict(),
        heads=heads,
        tokenizer=tokenizer_file(folder, documents),
        card="random weights\n",
    )


def tokenizer_file(folder: Path, documents: Sequence[str]) -> Path:
    """GPT-2's where its files are, else one made of the documents."""
    if not (DATA / "tokenizer").is_dir():
        return small_tokenizer(folder / "made.json", documents[:200], 8000)
    path = folder / "gpt2.json"
    path.write_bytes(ByteTokenizer.load(DATA / "tokenizer").data)
    return path
