"""The ways of others, each with transformers' own model and the same weights: rows padded to 1,024 tokens (the released
code of arXiv 2601.21571), rows sorted by length in batches of fixed size (NeMo Curator), and transformers' pipeline.

Documents longer than a row are cut into several, where the released code loses the tail: the same tokens for all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.bench.scoring.classifiers import MARGIN, MODEL
from tests.bench.scoring.sample import ROW
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

PAD = 0


def token_classifier(bundle: Bundle, attention: str = "sdpa") -> nn.Module:
    """transformers' token classifier with the bundle's encoder and token head; its second label is the forget one."""
    from transformers import AutoConfig, AutoModelForTokenClassification

    content = {key: value for key, value in MODEL.items() if key != "model_type"}
    config = AutoConfig.for_model("modernbert", **content, num_labels=2, id2label={0: "O", 1: "FORGET"})
    model: Any = AutoModelForTokenClassification.from_config(config, attn_implementation=attention)
    encoder: Any = bundle.encoder()
    model.model.load_state_dict(encoder.model.state_dict())
    # Our head reads the last block's output, so what lies between it and the classifier is left out here, too.
    model.model.final_norm, model.head = nn.Identity(), nn.Identity()
    head: Any = bundle.heads().token
    model.classifier = nn.Linear(len(head.weight), 2)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.stack([torch.zeros_like(head.weight), head.weight]))
        model.classifier.bias.copy_(torch.cat([torch.zeros(1), head.bias]))
    return model.eval().requires_grad_(False)


def padded(model: nn.Module, tokenizer: ByteTokenizer, texts: Sequence[str], batch: int = 128) -> np.ndarray:
    """The reference's way: every row padded to ROW, in the order of the texts. Logits float32 [T]."""
    tokens = tokenizer.encode(list(texts))
    rows = list(_rows(tokens))
    logits = [_logits(model, rows[at : at + batch], ROW) for at in range(0, len(rows), batch)]
    return np.concatenate([part for parts in logits for part in parts])


def sorted_batches(model: nn.Module, tokens: Tokenized, batch: int, every: int) -> int:
    """Curator's way: rows sorted by length, `batch` of them padded to their longest; every so many-th batch is run.

    Returns the real tokens of the batches that were run. Tokenizing is not part of it, in its favour.
    """
    rows = sorted(_rows(tokens), key=len)
    starts = range(min(every // 2, (len(rows) - 1) // batch) * batch, len(rows), every * batch)
    chosen = [rows[at : at + batch] for at in starts]
    for some in chosen:
        _logits(model, some, len(some[-1]))
    return sum(len(row) for some in chosen for row in some)


def sorted_padding(tokens: Tokenized, batch: int) -> float:
    """Positions a token of all sorted batches of that size."""
    lengths = np.sort([len(row) for row in _rows(tokens)])
    longest = [lengths[min(at + batch, len(lengths)) - 1] for at in range(0, len(lengths), batch)]
    sizes = [min(batch, len(lengths) - at) for at in range(0, len(lengths), batch)]
    return float(np.dot(longest, sizes) / lengths.sum())


def pipeline(model: Any, tokenizer: ByteTokenizer) -> Any:
    """transformers' pipeline as its documentation has it for long texts: overlapping chunks of ROW tokens."""
    from transformers import PreTrainedTokenizerFast
    from transformers import pipeline as build

    fast = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.path), model_max_length=ROW)
    fast.pad_token = fast.convert_ids_to_tokens(PAD)
    fast.model_input_names = ["input_ids", "attention_mask"]
    return build("token-classification", model=model, tokenizer=fast, stride=2 * MARGIN, aggregation_strategy="simple")


def _rows(tokens: Tokenized) -> Iterator[np.ndarray]:
    """Every document in rows of at most ROW ids."""
    for first, end in zip(tokens.bounds_D1.tolist(), tokens.bounds_D1[1:].tolist()):
        for at in range(first, end, ROW):
            yield tokens.ids_T[at : min(at + ROW, end)]


def _logits(model: nn.Module, rows: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """Forget logits of each row's own tokens, the rows padded to `width`."""
    lengths_B = torch.tensor([len(row) for row in rows])
    mask_BL = torch.arange(width) < lengths_B[:, None]
    ids_BL = torch.full(mask_BL.shape, PAD)
    ids_BL[mask_BL] = torch.from_numpy(np.concatenate(rows)).long()
    with torch.inference_mode():
        logits_BLC = model(input_ids=ids_BL, attention_mask=mask_BL.long()).logits
    return [logits_BLC[at, : len(row), 1].numpy() for at, row in enumerate(rows)]
