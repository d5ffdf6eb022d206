"""Hidden values of a language model, one per token of a text, at the place that an SAE was trained on.

A hook on the module, not `hidden_states`: entry L there is the INPUT of block L, and the last one is normed. Blocks
above L are not loaded and the forward pass ends at the hook. Long documents go in windows, each of which begins with
BOS where the SAE wants it, so a token's left context is at least `margin` tokens; nothing is truncated.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tokensieve.udfs.packing.windows import Windows, gather, runs, windows
from tokensieve.udfs.sae.model import (
    ModelSettings,
    bos_id,
    check_fit,
    model_config,
    model_identity,
    model_tokenizer,
    special_ids,
)
from tokensieve.udfs.sae.slice import SaeError, SaeSpec
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


class _Caught(Exception):
    """Ends a forward pass at the hook, and carries what stood there."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


class Residual:
    """The model up to the hook of an SAE.

    Raises SaeError: the model cannot be read, is another one than planned, or does not fit the SAE.
    """

    def __init__(self, settings: ModelSettings, spec: SaeSpec) -> None:
        identity = model_identity(settings.model, settings.revision)
        if settings.identity not in ("", identity):
            raise SaeError(
                f"{settings.model} is {identity} on this machine, but the job was planned with {settings.identity}; "
                "put the same model on every node"
            )
        self.settings, self.spec = settings, spec
        self.device = _device(settings.device)
        if self.device == "cpu":
            torch.set_num_threads(settings.threads)
        self.tokenizer = model_tokenizer(settings.model, settings.revision)
        config = model_config(settings.model, settings.revision)
        check_fit(settings.model, config, spec)
        if self.tokenizer.vocab_size > config.vocab_size:
            raise SaeError(
                f"{settings.model}: its tokenizer.json has ids up to {self.tokenizer.vocab_size - 1}, the model "
                f"embeds {config.vocab_size}; tokenizer and model do not belong together"
            )
        self._bos = [bos_id(settings.model, config)] if spec.prepend_bos else []
        self.special_ids = special_ids(config)
        self._model = _load(settings, spec.layer, config, _dtype(settings.dtype, self.device)).to(self.device)
        _hang_hook(settings.model, self._model.layers[spec.layer], spec.hook)

    def read(self, tokens: Tokenized) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Hidden values of all tokens, a batch of windows at a time, BOS left out.

        Yields positions on the flat token axis, int64 [P], and values, float32 [P, d_in] on the device. Every token
        comes once, in no order.
        """
        cut = windows(np.diff(tokens.bounds_D1), self.settings.window, self.settings.margin)
        first = len(self._bos)
        for pack in padded_packs(cut.lengths_W + first, self.settings.token_budget):
            ids_BL = self._padded(tokens, cut, pack)
            kept_N = cut.keep_stop_W[pack] - cut.keep_start_W[pack]
            row_P = np.repeat(np.arange(len(pack)), kept_N)
            column_P = runs(first + cut.keep_start_W[pack] - cut.start_W[pack], kept_N)
            x_BLD = self._forward(ids_BL, first + cut.lengths_W[pack])
            at = torch.from_numpy(row_P).to(self.device), torch.from_numpy(column_P).to(self.device)
            yield runs(tokens.bounds_D1[cut.doc_W[pack]] + cut.keep_start_W[pack], kept_N), x_BLD[at].float()

    def _padded(self, tokens: Tokenized, cut: Windows, pack: np.ndarray) -> np.ndarray:
        """Ids of the pack's windows, int64 [B, L], BOS before and zeros behind."""
        ids_P, bounds_N1 = gather(tokens.ids_T, tokens.bounds_D1, cut, pack)
        lengths_N = np.diff(bounds_N1)
        first = len(self._bos)
        ids_BL = np.zeros((len(pack), first + int(lengths_N.max())), dtype=np.int64)
        ids_BL[:, :first] = self._bos
        ids_BL[np.repeat(np.arange(len(pack)), lengths_N), runs(np.full(len(pack), first), lengths_N)] = ids_P
        return ids_BL

    def _forward(self, ids_BL: np.ndarray, lengths_B: np.ndarray) -> Tensor:
        mask_BL = np.arange(ids_BL.shape[1]) < lengths_B[:, None]
        with torch.inference_mode():
            try:
                self._model(
                    input_ids=torch.from_numpy(ids_BL).to(self.device),
                    attention_mask=torch.from_numpy(mask_BL.astype(np.int64)).to(self.device),
                    use_cache=False,
                )
            except _Caught as caught:
                return caught.value
        raise SaeError(f"{self.settings.model}: the forward pass never reached block {self.spec.layer}")


def padded_packs(lengths_W: np.ndarray, token_budget: int) -> Iterator[np.ndarray]:
    """Window indices per batch, longest first, so that rows times the longest row stay within the budget.

    A window longer than the budget stands alone.
    """
    order_W = np.argsort(-lengths_W, kind="stable")
    first = 0
    while first < len(order_W):
        rows = max(1, token_budget // int(lengths_W[order_W[first]]))
        yield order_W[first : first + rows]
        first += rows


def _load(settings: ModelSettings, layer: int, config: Any, dtype: torch.dtype) -> Any:
    """The model without its head, cut above block `layer`."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # else every worker lists the blocks that are left out
    logging.disable_progress_bar()
    config.num_hidden_layers = layer + 1
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: layer + 1]
    try:
        model, info = AutoModel.from_pretrained(
            settings.model,
            revision=settings.revision,
            config=config,
            dtype=dtype,
            attn_implementation=settings.attention,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise SaeError(f"{settings.model}: cannot be loaded: {error}") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise SaeError(f"{settings.model}: its files lack {len(missing)} tensors, the first is {missing[0]}")
    if not isinstance(getattr(model, "layers", None), nn.ModuleList):
        raise SaeError(
            f"{settings.model}: a {type(model).__name__} has no `layers`; this kind of model is not supported"
        )
    return model.eval()


def _hang_hook(model: str, block: nn.Module, hook: str) -> None:
    """Hangs the hook that ends the forward pass."""
    names = {"res": "", "mlp": "post_feedforward_layernorm", "att": "self_attn.o_proj"}
    try:
        module = block.get_submodule(names[hook])
    except AttributeError as error:
        raise SaeError(f"{model}: its blocks have no {names[hook]}, which hook `{hook}` needs") from error
    if hook == "att":
        module.register_forward_pre_hook(_catch_input)
    else:
        module.register_forward_hook(_catch_output)


def _catch_input(module: nn.Module, inputs: Any) -> None:
    raise _Caught(inputs[0])


def _catch_output(module: nn.Module, inputs: Any, output: Any) -> None:
    raise _Caught(output[0] if isinstance(output, tuple) else output)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SaeError("sae.device=cuda, but torch sees no CUDA device here; use sae.device=auto or cpu")
    return name


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        name = "bfloat16" if device == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
