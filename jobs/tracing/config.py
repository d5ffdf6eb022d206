"""Section `trace`: where to look for what has seen a document."""

from pydantic import BaseModel, ConfigDict


class TraceConfig(BaseModel):
    """Section `trace`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: tuple[str, ...] = ()
    """Folders of further training runs, or globs of them, beside `pretrain.out`."""
