"""A labelling project that asks a fake Claude: its YAML file, so that verbs and command line read the same."""

from pathlib import Path

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.load import load_section


def write_project(folder: Path, url: str, *lines: str) -> Path:
    """`folder/project.yaml` on `folder/source` and `folder/tables`, asking at `url`; `lines` are added to it."""
    file = folder / "project.yaml"
    claude = "model: claude-haiku-4-5, budget_usd: 5, poll_seconds: 0.01, settle_seconds: 0, mode: batch"
    file.write_text(
        f"source: {{path: {folder / 'source'}}}\n"
        f"tables: {{root: {folder / 'tables'}}}\n"
        "policy: medicine\n"
        f"claude: {{{claude}, base_url: '{url}'}}\n"
        "spark: {master: 'local[2]'}\n" + "".join(f"{line}\n" for line in lines)
    )
    return file


def labelled_project(folder: Path, url: str, *overrides: str) -> LabelConfig:
    """Its configuration with dotted overrides."""
    return load_section(LabelConfig, str(write_project(folder, url)), overrides)
