"""What the entry for Megatron-LM must know of a run and Megatron-LM has no argument for: `launch/filter.json`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.pretrain.errors import LaunchError, ManifestError
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.filter_config import FilterConfig


class RunFilter(BaseModel):
    """The filter of one run, with what the plan made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: str
    corpus_id: str
    filter: FilterConfig
    level: int | None
    """Score level from which tokens are forgotten (`udfs.scores.stored_scores`); None: the exported mask."""
    first_filtered_sample: int

    @classmethod
    def load(cls, path: Path) -> "RunFilter":
        """Raises LaunchError for a file that is missing or not of this form."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise LaunchError(f"{path}: {error}; run `tokensieve pretrain launch` again") from error

    def corpus(self) -> Corpus:
        """The corpus that the run was planned for. Raises LaunchError where it is not there any more."""
        try:
            return Corpus.load(Path(self.shards), self.corpus_id)
        except ManifestError as error:
            raise LaunchError(
                f"the run was planned for {self.corpus_id}, but {error}; or run `tokensieve pretrain launch` again"
            ) from error
