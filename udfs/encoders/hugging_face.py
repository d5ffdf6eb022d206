"""Any Hugging Face encoder (BERT, RoBERTa, MiniLM, ModernBERT and their like), read from its configuration alone.

Every document stands between the ids that the model expects around a text. Where the family of models allows it all
documents make one row (hugging_face_attention.py); else rows of like length are padded together under a mask. Either
way positions restart and nothing crosses a bound. A feature is the output of a chosen block, before any final norm.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from tokensieve.udfs.encoders.encoder import EncoderError
from tokensieve.udfs.encoders.transformer import check_layers
from tokensieve.udfs.packing.packed_row import PackedRow

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Where families of models keep their blocks.
_BLOCKS = ("encoder.layer", "layers", "transformer.layer", "encoder.layers")
_PADDED_TOKENS = 16_384  # of one call of the model
_SHORTEST = 0.9  # of the longest row in a call


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
    """`model` is the transformers model.

    Attributes:
        max_tokens: the longest document that it has positions for, None: any.
        packed: whether all documents make one row; else they are padded.
        first_position: the position of a row's first token.
    """

    def __init__(self, config: HuggingFaceConfig) -> None:
        super().__init__()
        self.config = config
        cut = model_config(config.model, max(config.layers))
        self.options = no_pooling(cut)
        self.packed = _packs(cut)
        self.model = model_class(cut)(cut, **self.options)
        self.dim = cut.hidden_size * len(config.layers)
        self._chosen = [_blocks(self.model, cut.num_hidden_layers)[layer - 1] for layer in config.layers]
        self._outer = len(config.before) + len(config.after)
        positions, self.first_position = _positions(self.model)
        self.max_tokens = None if positions is None else positions - self._outer

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim] in the order of the chosen layers; bounds_D1 as in `Encoder`.

        Raises ValueError for a document longer than `max_tokens`.
        """
        row = PackedRow(bounds_D1, ids_T.device)
        if self.max_tokens is not None and row.longest > self.max_tokens:
            raise ValueError(
                f"a window of {row.longest} tokens, but this model has positions for {self.max_tokens}; "
                f"set the bundle's window to at most {self.max_tokens}"
            )
        if not row.total:
            return next(self.model.parameters()).new_zeros(0, self.dim)
        if self.packed:
            return self._row(ids_T, row)
        found = [self._rows(ids_T, row, some) for some in _groups(row.lengths_D)]
        rows_T = torch.cat([rows for rows, _ in found])
        return torch.cat([features for _, features in found])[torch.argsort(rows_T)]

    def computed_rows(self, lengths_D: np.ndarray) -> int:
        """Rows that the model computes for documents of these lengths: the ids around them and padding included."""
        lengths_D = lengths_D[lengths_D > 0]
        if self.packed:
            return int(lengths_D.sum() + self._outer * len(lengths_D))
        return sum(len(some) * (int(lengths_D[some].max()) + self._outer) for some in _groups(lengths_D))

    def _row(self, ids_T: Tensor, row: PackedRow) -> Tensor:
        """All documents in one row of R ids, those around them included."""
        wide = PackedRow(torch.from_numpy(np.cumsum([0, *(row.lengths_D + self._outer)])), ids_T.device)
        own_T = torch.arange(row.total, device=ids_T.device) + row.document_T * self._outer + len(self.config.before)
        ids_R = ids_T.new_empty(wide.total).index_copy_(0, own_T, ids_T)
        first_D, end_D = wide.bounds_D1[:-1].long(), wide.bounds_D1[1:].long()
        for at, token in enumerate(self.config.before):
            ids_R.index_fill_(0, first_D + at, token)
        for at, token in enumerate(reversed(self.config.after), start=1):
            ids_R.index_fill_(0, end_D - at, token)
        features_1RD = self._outputs(
            ids_R[None],
            # A mask of four axes is passed on as it is, and the packed attention looks at none.
            torch.zeros(1, 1, 1, 1, device=ids_T.device),
            position_ids=wide.position_T[None] + self.first_position,
            packed_row=wide,
        )
        return features_1RD[0][own_T]

    def _rows(self, ids_T: Tensor, row: PackedRow, some: np.ndarray) -> tuple[Tensor, Tensor]:
        """Rows [N] of some of the packed documents, and their features [N, dim]."""
        chosen_B = torch.from_numpy(some).to(ids_T.device)
        starts_B, lengths_B = row.bounds_D1[:-1].long()[chosen_B], row.bounds_D1.diff().long()[chosen_B]
        first, longest = len(self.config.before), int(row.lengths_D[some].max())
        column_L = torch.arange(longest + self._outer, device=ids_T.device)
        offset_BL = (column_L - first).expand(len(some), -1)
        own_BL = (offset_BL >= 0) & (offset_BL < lengths_B[:, None])
        rows_N = (starts_B[:, None] + offset_BL)[own_BL]
        ids_BL = torch.zeros_like(offset_BL)
        # Not id 0: RoBERTa counts positions by looking for the padding id.
        ids_BL = ids_BL + (self.model.config.pad_token_id or 0)
        ids_BL[own_BL] = ids_T[rows_N]
        ids_BL[:, :first] = ids_T.new_tensor(self.config.before)
        for at, token in enumerate(self.config.after):
            ids_BL[offset_BL == lengths_B[:, None] + at] = token
        features_BLD = self._outputs(ids_BL, (column_L < lengths_B[:, None] + self._outer).long())
        return rows_N, features_BLD[own_BL]

    def _outputs(self, ids_BL: Tensor, mask_BL: Tensor, **options: Any) -> Tensor:
        """Outputs of the chosen blocks side by side, [B, L, dim]; `options` are more arguments of the model."""
        outputs: dict[int, Tensor] = {}

        def keep(at: int, output: Any) -> None:
            outputs[at] = output[0] if isinstance(output, tuple) else output

        hooks = [
            block.register_forward_hook(lambda module, inputs, output, at=at: keep(at, output))
            for at, block in enumerate(self._chosen)
        ]
        try:
            self.model(input_ids=ids_BL, attention_mask=mask_BL, **options)
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


def _packs(config: "PretrainedConfig") -> bool:
    """Whether documents can share a row; the configuration then names our attention."""
    from tokensieve.udfs.encoders.hugging_face_attention import FAMILIES, PACKED, register

    shared_keys = getattr(config, "num_key_value_heads", None) not in (None, config.num_attention_heads)
    if config.model_type not in FAMILIES or getattr(config, "is_decoder", False) or shared_keys:
        return False
    register()
    config._attn_implementation = PACKED
    return True


def _positions(model: nn.Module) -> tuple[int | None, int]:
    """Tokens that the model has positions for, those of `before` and `after` counted, and a row's first position."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's positions begin after the padding id.
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first, first
    return getattr(model.config, "max_position_embeddings", None), 0


def _groups(lengths_D: np.ndarray) -> Iterator[np.ndarray]:
    """Documents (indices) to run together: sorted by length, of like length, within the budget of padded tokens."""
    order_D = np.argsort(-lengths_D, kind="stable")
    lengths = lengths_D[order_D].tolist()
    first = 0
    while first < len(lengths):
        longest, stop = lengths[first], first + 1
        most = first + max(1, _PADDED_TOKENS // longest)
        while stop < min(most, len(lengths)) and lengths[stop] >= _SHORTEST * longest:
            stop += 1
        yield order_D[first:stop]
        first = stop
