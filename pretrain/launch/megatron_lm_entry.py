"""Runs a checkout's `pretrain_gpt.py` (core_v0.16.1) with our data set: what torchrun starts for driver megatron-lm.

That file has no option for another data set class, so the two names by which it builds its data are bound to ours, and
then its own last call is made. A checkout of another version is refused. Its folder comes last on Python's path: the
installed megatron-core is used, with its compiled helper, and no compiler is needed.
"""

import argparse
import functools
import runpy
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokensieve.pretrain.errors import LaunchError
from tokensieve.pretrain.launch.run_filter import RunFilter

FILTER_OPTION, CHECKOUT_OPTION = "--tokensieve-filter", "--tokensieve-megatron-lm"
SUPPORTED = "0.16."


def main() -> None:
    """Takes our two options off the command line and leaves the rest to Megatron-LM."""
    started = time.time()
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument(FILTER_OPTION, type=Path, required=True)
    parser.add_argument(CHECKOUT_OPTION, type=Path, required=True)
    ours, rest = parser.parse_known_args()
    run = RunFilter.load(ours.tokensieve_filter)
    sys.argv[1:] = rest
    pretrain_gpt = load_pretrain_gpt(ours.tokensieve_megatron_lm)
    bind_dataset(pretrain_gpt, run)
    provider = delayed(pretrain_gpt.train_valid_test_datasets_provider, run.first_filtered_sample)
    pretrain_gpt.set_startup_timestamps(program_start=started, main_entry=time.time())
    pretrain, store = pretrain_gpt.inprocess_restart.maybe_wrap_for_inprocess_restart(pretrain_gpt.pretrain)
    pretrain(
        provider,
        functools.partial(pretrain_gpt.model_provider, pretrain_gpt.gpt_builder),
        pretrain_gpt.ModelType.encoder_or_decoder,
        pretrain_gpt.forward_step,
        extra_args_provider=pretrain_gpt.add_modelopt_args if pretrain_gpt.has_nvidia_modelopt else None,
        store=store,
        get_embedding_ranks=pretrain_gpt.get_embedding_ranks,
    )


def load_pretrain_gpt(checkout: Path) -> Any:
    """The module `pretrain_gpt` of a checkout. Raises LaunchError: no checkout, another version, a module missing."""
    from megatron.core import package_info
    from megatron.core.datasets import utils

    theirs = checkout / "megatron" / "core" / "package_info.py"
    if not (checkout / "pretrain_gpt.py").is_file() or not theirs.is_file():
        raise LaunchError(f"{checkout}: no checkout of Megatron-LM; set launch.megatron_lm.checkout")
    versions = runpy.run_path(str(theirs))["__version__"], package_info.__version__
    if versions[0] != versions[1] or not versions[0].startswith(SUPPORTED):
        raise LaunchError(
            f"{checkout} is Megatron-LM {versions[0]} and the installed megatron-core {versions[1]}; check out tag "
            f"core_v0.16.1 and install megatron-core of the same version"
        )
    sys.path.append(str(checkout))
    if find_spec("megatron.core.datasets.helpers_cpp"):
        utils.compile_helpers = _nothing  # it runs `make`, and the installed package has no Makefile
    try:
        kernels: Any = import_module("megatron.legacy.fused_kernels")
        kernels.load = _nothing  # it compiles nothing in this version, but fails where there is no nvcc
        return import_module("pretrain_gpt")
    except ModuleNotFoundError as error:
        raise LaunchError(f"{checkout}: Megatron-LM needs the module {error.name}; install it beside torch") from error


def bind_dataset(pretrain_gpt: Any, run: RunFilter) -> None:
    """Make `pretrain_gpt` build our data sets of the run's corpus, with the run's filter."""
    from tokensieve.pretrain.samples.dataset import FilteredGPTDataset, FilteredGPTDatasetConfig
    from tokensieve.pretrain.samples.training_samples import TokenizerStandIn

    tokenizer = run.corpus().tokenizer

    def config(**options: Any) -> FilteredGPTDatasetConfig:
        options["tokenizer"] = TokenizerStandIn(tokenizer)
        return FilteredGPTDatasetConfig(**options, filter=run.filter, level=run.level, hidden_id=tokenizer.hidden_id)

    pretrain_gpt.GPTDataset, pretrain_gpt.GPTDatasetConfig = FilteredGPTDataset, config


def delayed(provider: Callable, first_filtered_sample: int) -> Callable:
    """`provider` with a train split that is filtered from that sample on; builds on every rank, as the original."""
    from tokensieve.pretrain.samples.dataset import DelayedFilter

    @functools.wraps(provider)
    def provide(*args: Any, **kwargs: Any) -> tuple:
        train, *others = provider(*args, **kwargs)
        if train is not None and first_filtered_sample:
            train = DelayedFilter(train, first_filtered_sample)
        return train, *others

    provide.is_distributed = True  # type: ignore[attr-defined]
    return provide


def _nothing(*args: Any) -> None: ...


if __name__ == "__main__":
    main()
