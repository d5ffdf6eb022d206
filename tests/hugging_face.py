"""Tiny Hugging Face models with random weights, and folders of them as a user would have on disk."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FAMILIES = ("bert", "roberta", "modernbert")
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 300,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}


def model_content(family: str) -> dict[str, Any]:
    """The content of a config.json."""
    own = {"bert": {}, "roberta": {"pad_token_id": 1}, "modernbert": {"local_attention": 8, "initializer_range": 0.2}}
    return {**_SHAPE, "initializer_range": 0.2, "model_type": family, **own[family]}


def word_piece(texts: list[str], size: int = 300) -> Tokenizer:
    """Lower-cases, drops accents and white space, and puts [CLS] and [SEP] around a text: BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=_SPECIAL, show_progress=False)
    )
    return _with_outer_ids(made)


def byte_level(texts: list[str], size: int = 300) -> Tokenizer:
    """Byte-level BPE with the same specials: RoBERTa's and ModernBERT's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return _with_outer_ids(made)


def _with_outer_ids(made: Tokenizer) -> Tokenizer:
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(8)  # as the files of published models often have
    made.enable_padding(length=8)
    return made


def model_folder(folder: Path, family: str, texts: list[str], *, head: bool = False) -> Path:
    """A folder with config.json, model.safetensors and tokenizer.json; `head`: of a masked-token model."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, MODEL_MAPPING, AutoConfig

    content = model_content(family)
    config = AutoConfig.for_model(content.pop("model_type"), **content)
    torch.manual_seed(0)
    mapping: Any = MODEL_FOR_MASKED_LM_MAPPING if head else MODEL_MAPPING
    mapping[type(config)](config).save_pretrained(folder)
    tokenizer = (word_piece if family == "bert" else byte_level)(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
