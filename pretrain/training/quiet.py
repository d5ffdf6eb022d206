"""Silences what megatron-core says about libraries that are not installed and about its own defaults.

Only messages known to be harmless, by their text; every other warning stays visible.
"""

import contextlib
import warnings
from collections.abc import Iterator

HARMLESS = (
    ".*(Transformer Engine|Apex).*not installed",
    ".*full scope is deprecated",  # TransformerConfig says so about its own default
)


@contextlib.contextmanager
def quiet_megatron() -> Iterator[None]:
    """Within the block, hide the messages in `HARMLESS` and Megatron's deprecation warnings."""
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"megatron\.")
        yield
