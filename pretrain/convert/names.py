"""The tensors of a model by Megatron's names, with their shapes, as a whole model has them."""

from collections.abc import Iterator

from tokensieve.pretrain.training.model_config import ModelConfig

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"
FINAL_NORM = "decoder.final_layernorm.weight"
QKV = "self_attention.linear_qkv.weight"
ATTENTION_OUT = "self_attention.linear_proj.weight"
FFN_IN = "mlp.linear_fc1.weight"
FFN_OUT = "mlp.linear_fc2.weight"


def attention_norm(model: ModelConfig) -> str:
    """The norm before attention; Transformer Engine's layers keep it in the matrix that follows."""
    fused = model.kernels == "transformer_engine"
    return "self_attention.linear_qkv.layer_norm_weight" if fused else "input_layernorm.weight"


def ffn_norm(model: ModelConfig) -> str:
    """The norm before the FFN."""
    return "mlp.linear_fc1.layer_norm_weight" if model.kernels == "transformer_engine" else "pre_mlp_layernorm.weight"


def in_layer(layer: int, name: str) -> str:
    """Megatron's name of a tensor of layer `layer`, counted from 0."""
    return f"decoder.layers.{layer}.{name}"


def megatron_shapes(model: ModelConfig, padded_vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model and its shape."""
    width = model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (padded_vocab_size, width), FINAL_NORM: (width,)}
    if not model.tie_embeddings:
        shapes[OUTPUT] = (padded_vocab_size, width)
    for layer in range(model.layers):
        shapes |= {in_layer(layer, name): shape for name, shape in _layer_shapes(model)}
    return shapes


def _layer_shapes(model: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = model.hidden_size
    yield attention_norm(model), (width,)
    yield QKV, (width + 2 * model.query_groups * model.head_size, width)
    yield ATTENTION_OUT, (width, width)
    yield ffn_norm(model), (width,)
    yield FFN_IN, ((2 if model.gated else 1) * model.ffn, width)
    yield FFN_OUT, (width, model.ffn)
