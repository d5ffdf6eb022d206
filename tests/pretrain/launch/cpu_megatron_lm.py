"""Lets Megatron-LM itself run on a CPU, for tests: `cpu_megatron_lm.py train WORDS...` or `validate CHECKOUT FILE`.

`train` is the launcher's own entry under `pretrain.training.megatron_patches`. `validate` gives each list of words in
FILE (JSON) to Megatron-LM's parser and its checks, which look at the world size and at the GPU's generation.
"""

import json
import sys
import types

import torch

from tokensieve.pretrain.launch import megatron_lm_entry
from tokensieve.pretrain.training.megatron_patches import cpu_shim


def _asked_by_initialize() -> bool:
    """Megatron-LM refuses to start without CUDA; torch's own optimizers must not believe in it."""
    return sys._getframe(1).f_globals["__name__"] == "megatron.training.initialize"


def validate(checkout: str, file: str) -> None:
    sys.path.append(checkout)
    from megatron.training import arguments  # type: ignore[import-not-found]

    arguments.get_device_arch_version = lambda: 9
    with open(file, encoding="utf-8") as lists:
        for words in json.load(lists):
            sys.argv[1:] = words
            found = arguments.validate_args(arguments.parse_args())
            config = arguments.core_transformer_config_from_args(found)
            shown = {name: getattr(config, name) for name in ("normalization", "num_query_groups", "ffn_hidden_size")}
            names = ("padded_vocab_size", "data_parallel_size", "lr_warmup_iters", "calculate_per_token_loss")
            print("checked " + json.dumps(shown | {name: getattr(found, name) for name in names}))


if __name__ == "__main__":
    sys.modules.setdefault("six", types.ModuleType("six"))  # imported for tokenizers that no run here uses
    mode, *rest = sys.argv[1:]
    if mode == "validate":
        validate(*rest)
    else:
        sys.argv[1:] = rest
        with cpu_shim():
            torch.cuda.is_available = _asked_by_initialize
            torch.cuda.device_count = lambda: 1
            megatron_lm_entry.main()
