"""Any Hugging Face encoder (BERT, RoBERTa, MiniLM, ModernBERT and their like), read from its configuration alone.

Every document is a row of its own between the ids that the model expects around a text; rows of like length are padded
together under a mask, so positions restart and nothing crosses a bound. A feature is the output of a chosen block,
before any final norm. What is given up is variable-length attention: a padded row costs up to a third more.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from udfs.encoders import EncoderError
from udfs.transformer import check_layers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Where families of models keep their blocks.
_BLOCKS = ("encoder.layer", "layers", "transformer.layer", "encoder.layers")
_PADDED_TOKENS = 16_384  # of one call of the model
_SHORTEST = 0.75  # of the longest row in a call


@dataclass(frozen=True, kw_only=True)
class HuggingFaceConfig:
    """A model and what is read from it.

    Attributes:
        model: the content of its config.json, `model_type` included.
        layers: blocks, from 1, whose output is the feature; those above the highest are not built.
        before, after: ids put around every document and taken off its features ([CLS] and [SEP], <s> and </s>).
    """

    model: dict[str, Any]
    layers: Sequence[int]
    before: Sequence[int] = ()
    after: Sequence[int] = ()

    def __post_init__(self) -> None:
        check_layers(self.layers)


def build(shape: dict[str, Any]) -> "HuggingFace":
    """The encoder of the given shape (the fields of `HuggingFaceConfig`), with fresh weights.

    Raises:
        ImportError: transformers is not installed.
        EncoderError: a model type that transformers does not know, fewer blocks than `layers` names, or unknown blocks.
    """
    return HuggingFace(HuggingFaceConfig(**shape))


class HuggingFace(nn.Module):
    """`model` is the transformers model. `max_tokens`: the longest document that it has positions for, None: any."""

    def __init__(self, config: HuggingFaceConfig) -> None:
        super().__init__()
        self.config = config
        cut = model_config(config.model, max(config.layers))
        self.options = no_pooling(cut)
        self.model = model_class(cut)(cut, **self.options)
        self.dim = cut.hidden_size * len(config.layers)
        self._chosen = [_blocks(self.model, cut.num_hidden_layers)[layer - 1] for layer in config.layers]
        positions = _positions(self.model)
        self.max_tokens = None if positions is None else positions - len(config.before) - len(config.after)

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim] in the order of the chosen layers; bounds_D1 as in `Encoder`.

        Raises ValueError for a document longer than `max_tokens`.
        """
        lengths_D = bounds_D1.diff()
        longest = int(lengths_D.max()) if len(lengths_D) else 0
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ValueError(
                f"a window of {longest} tokens, but this model has positions for {self.max_tokens}; "
                f"set the bundle's window to at most {self.max_tokens}"
            )
        if not longest:
            return next(self.model.parameters()).new_zeros(0, self.dim)
        found = [self._rows(ids_T, bounds_D1[:-1][some], lengths_D[some]) for some in _groups(lengths_D)]
        rows_T = torch.cat([rows for rows, _ in found])
        return torch.cat([features for _, features in found])[torch.argsort(rows_T)]

    def _rows(self, ids_T: Tensor, starts_B: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [N] of the packed documents at `starts_B`, and their features [N, dim]."""
        first, extra = len(self.config.before), len(self.config.before) + len(self.config.after)
        column_L = torch.arange(int(lengths_B.max()) + extra, device=ids_T.device)
        offset_BL = (column_L - first).expand(len(starts_B), -1)
        own_BL = (offset_BL >= 0) & (offset_BL < lengths_B[:, None])
        rows_N = (starts_B[:, None] + offset_BL)[own_BL]
        ids_BL = torch.zeros_like(offset_BL)
        # Not id 0: RoBERTa counts positions by looking for the padding id.
        ids_BL = ids_BL + (self.model.config.pad_token_id or 0)
        ids_BL[own_BL] = ids_T[rows_N]
        ids_BL[:, :first] = ids_T.new_tensor(self.config.before)
        for at, token in enumerate(self.config.after):
            ids_BL[offset_BL == lengths_B[:, None] + at] = token
        features_BLD = self._outputs(ids_BL, (column_L < lengths_B[:, None] + extra).long())
        return rows_N, features_BLD[own_BL]

    def _outputs(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Outputs of the chosen blocks side by side, [B, L, dim]."""
        outputs: dict[int, Tensor] = {}

        def keep(at: int, output: Any) -> None:
            outputs[at] = output[0] if isinstance(output, tuple) else output

        hooks = [
            block.register_forward_hook(lambda module, inputs, output, at=at: keep(at, output))
            for at, block in enumerate(self._chosen)
        ]
        try:
            self.model(input_ids=ids_BL, attention_mask=mask_BL)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([outputs[at] for at in range(len(self._chosen))], dim=-1)


def model_config(content: dict[str, Any], blocks: int) -> "PretrainedConfig":
    """The configuration of a model cut above its first `blocks` blocks. Raises ImportError, EncoderError."""
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError(
            "a Hugging Face encoder needs transformers: pip install 'tokensieve[transformers]'"
        ) from error

    content = dict(content)
    kind, depth = content.pop("model_type", None), content.get("num_hidden_layers")
    if not isinstance(depth, int) or blocks > depth:
        raise EncoderError(f"layer {blocks} was chosen, but this {kind} model has the blocks 1 to {depth}")
    content["num_hidden_layers"] = blocks
    if content.get("layer_types"):
        content["layer_types"] = content["layer_types"][:blocks]
    try:
        config = AutoConfig.for_model(kind, **content)
    except ValueError as error:
        raise EncoderError(f"this version of transformers knows no model of type {kind!r}: {error}") from None
    if config.is_encoder_decoder:
        raise EncoderError(f"a model of type {kind!r} is an encoder and a decoder; give an encoder such as BERT")
    return config


def model_class(config: "PretrainedConfig") -> "type[PreTrainedModel]":
    """The bare model, without a task's head, of a configuration. Raises EncoderError."""
    from transformers import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING:
        raise EncoderError(f"transformers has no bare model for the type {config.model_type!r}")
    return cast("type[PreTrainedModel]", MODEL_MAPPING[type(config)])


def no_pooling(config: "PretrainedConfig") -> dict[str, Any]:
    """The argument that leaves out the pooling layer, for models that have one."""
    known = inspect.signature(model_class(config).__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in known else {}


def _blocks(model: nn.Module, count: int) -> nn.ModuleList:
    modules = dict(model.named_modules())
    for name in _BLOCKS:
        found = modules.get(name)
        if isinstance(found, nn.ModuleList) and len(found) == count:
            return found
    raise EncoderError(
        f"where {type(model).__name__} keeps its {count} blocks is not known; known are {', '.join(_BLOCKS)}"
    )


def _positions(model: nn.Module) -> int | None:
    """Tokens that the model has positions for, those of `before` and `after` counted."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's positions begin after the padding id.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None)


def _groups(lengths_D: Tensor) -> Iterator[Tensor]:
    """Documents (indices) to run together: sorted by length, of like length, within the budget of padded tokens."""
    sorted_D, order_D = torch.sort(lengths_D, descending=True, stable=True)
    lengths = sorted_D[sorted_D > 0].tolist()
    first = 0
    while first < len(lengths):
        longest, stop = lengths[first], first + 1
        most = first + max(1, _PADDED_TOKENS // longest)
        while stop < min(most, len(lengths)) and lengths[stop] >= _SHORTEST * longest:
            stop += 1
        yield order_D[first:stop]
        first = stop
