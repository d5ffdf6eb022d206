"""A labelling project on `tmp_path/source`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.load import load_section


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., LabelConfig]:
    """Makes its configuration with dotted overrides, such as 'coarse={"column": "domain", ...}'."""

    def make(*overrides: str) -> LabelConfig:
        file = tmp_path / "project.yaml"
        file.write_text(
            f"source: {{path: {tmp_path / 'source'}}}\n"
            f"tables: {{root: {tmp_path / 'tables'}}}\n"
            "policy: medicine\n"
            "spark: {master: 'local[2]'}\n"
        )
        return load_section(LabelConfig, str(file), overrides)

    return make
