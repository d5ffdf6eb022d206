"""`config.json` and `generation_config.json` of the stock transformers class that computes the same logits.

The llama family is a `LlamaForCausalLM`, the paper's an `ArceeForCausalLM` (RMSNorm, ungated squared ReLU, RoPE). The
vocabulary keeps its padding rows: the hidden token may lie among them, and training's softmax counted them.
"""

from typing import Any

from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.model_config import NORM_EPSILON, ModelConfig

CLASSES = {"llama": ("LlamaForCausalLM", "llama", "silu"), "paper": ("ArceeForCausalLM", "arcee", "relu2")}
NO_ROTATION = 1e30
"""Divides every angle of RoPE. Angles below 1e-26 leave float32 and bfloat16 values as they are."""


def model_config(config: PretrainConfig, tokenizer: TokenizerInfo, dtype: str) -> dict[str, Any]:
    """The content of `config.json`; `dtype` is `float32` or `bfloat16`."""
    model = config.model
    architecture, model_type, activation = CLASSES[model.family]
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": tokenizer.padded_vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.ffn,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.query_groups,
        "head_dim": model.head_size,
        "hidden_act": activation,
        "max_position_embeddings": config.seq_length,
        "rope_parameters": rope_parameters(model),
        "rms_norm_eps": NORM_EPSILON,
        "tie_word_embeddings": model.tie_embeddings,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": model.init_std,
        "bos_token_id": tokenizer.eod,
        "eos_token_id": tokenizer.eod,
        "dtype": dtype,
    }


def rope_parameters(model: ModelConfig) -> dict[str, Any]:
    """RoPE as trained, or one that does not rotate.

    transformers has no switch for "no positions". Its type `llama3` divides the angles of all wavelengths above
    `original_max_position_embeddings` / `low_freq_factor` = 1 by `factor`, and the shortest wavelength is 2 pi. Type
    `linear` would do too, but servers tabulate `factor` times the context for it.
    """
    if model.position == "rope":
        return {"rope_type": "default", "rope_theta": float(model.rope_base)}
    return {
        "rope_type": "llama3",
        "rope_theta": float(model.rope_base),
        "factor": NO_ROTATION,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1,
    }


def generation_config(tokenizer: TokenizerInfo) -> dict[str, Any]:
    """The content of `generation_config.json`: stops at the end of a document, never emits hidden or padding ids."""
    padding = set(range(tokenizer.vocab_size, tokenizer.padded_vocab_size))
    return {
        "bos_token_id": tokenizer.eod,
        "eos_token_id": tokenizer.eod,
        "suppress_tokens": sorted((padding | {tokenizer.hidden_id}) - {tokenizer.eod}),
    }
