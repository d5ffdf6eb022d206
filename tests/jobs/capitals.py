"""A classifier that forbids capital letters: every byte is a token, and its score says whether it is one of A to Z.

Real files, real scoring, and an outcome that a reader of a test can work out in the head: logit 4 for a capital letter,
-4 for any other byte; a document's logit is the mean.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer

from tests.bundles import small_tokenizer
from tokensieve.jobs import export, mask, score
from tokensieve.jobs.config.corpus import Config, load_config
from tokensieve.udfs.bundles.bundle import Bundle, save
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, Threshold
from tokensieve.udfs.encoders.sliding import SlidingConfig, SlidingEncoder

SHAPE = {"type": "sliding", "vocab_size": 256, "dim": 16, "layers": 1, "heads": 2, "hidden": 32, "reach": 8}
SIGN_D = torch.tensor([1.0, -1.0]).repeat(8)


def capitals_bundle(folder: Path, logit: float = 4) -> Bundle:
    """The classifier as a bundle; `logit` of a capital letter, and below zero of any other byte."""
    tokenizer = small_tokenizer(folder.parent / f"{folder.name}-bytes.json", [], size=256)
    encoder = SlidingEncoder(SlidingConfig(**{key: value for key, value in SHAPE.items() if key != "type"}))
    capitals = [Tokenizer.from_file(str(tokenizer)).token_to_id(letter) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name.endswith(
                ("out.weight", "down.weight")
            ):  # features are the embedding, whatever stands beside a token
                weight.zero_()
        encoder.embedding.weight.copy_(-SIGN_D)
        encoder.embedding.weight[capitals] = SIGN_D
    head = {"weight": SIGN_D * logit / 16, "bias": torch.zeros(1)}
    draft = BundleDraft(
        name="capitals",
        policy="capitals",
        encoder=dict(SHAPE),
        window=1024,
        margin=128,
        thresholds={"token": Threshold(value=0.5, how="made up")},
        training_data=[],
        metrics={},
    )
    heads = {f"{kind}.{name}": value.clone() for kind in ("token", "document") for name, value in head.items()}
    return save(folder, draft, encoder=encoder.state_dict(), heads=heads, tokenizer=tokenizer, card="made up\n")


def write_documents(folder: Path, documents: dict[str, str | None], name: str = "part-0.parquet") -> Path:
    """One Parquet shard with columns id and text."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": list(documents), "text": pa.array(documents.values(), pa.string())}), folder / name)
    return folder


def capitals_config(folder: Path, repository: Path, *overrides: str) -> Config:
    """A configuration for `folder/source`, with the demo's pretraining tokenizer."""
    bundle = folder / "capitals"
    if not bundle.exists():
        capitals_bundle(bundle)
    file = folder / "corpus.yaml"
    file.write_text(
        f"source: {{path: {folder / 'source'}}}\n"
        f"tables: {{root: {folder / 'tables'}}}\n"
        "policies:\n"
        f"  capitals: {{definition: medicine, bundle: {bundle}, rule: {{min_tokens: 2, drop_share: 0.5}}}}\n"
        f"export: {{tokenizer: {repository / 'conf/demo/tokenizer.json'}}}\n"
        "score: {quarantine_tolerance: 1}\n"
        "spark: {master: 'local[2]'}\n"
    )
    return load_config(str(file), overrides)


def run_verbs(config: Config, spark, verbs: Sequence[str] = ("score", "mask", "export")) -> None:
    """The real verbs, in order."""
    for verb in verbs:
        {"score": score, "mask": mask, "export": export}[verb].run(config, spark)
