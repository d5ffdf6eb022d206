"""What can go wrong beside Megatron, by what a user does about it; every message says what is wrong and what to do.

Errors of shard files themselves are in `shards/megatron_index.py`, that of a plan in `training/plan.py`.
"""


class TrainingError(RuntimeError):
    """Training cannot start here, or went wrong in a way that more steps do not mend."""

    exit_code = 1
    """Of a command that ends with this error."""


class DatasetError(ValueError):
    """The shards cannot be turned into the samples that were asked for."""


class FitError(ValueError):
    """A classifier cannot be fitted as the recipe says from these documents."""


class ReportError(ValueError):
    """A classifier cannot be measured or calibrated as asked."""


class SetError(ReportError):
    """An evaluation set cannot be read as its configuration says."""


class LeakError(ReportError):
    """A document would be reported on that a threshold was chosen on, or a baseline learned from."""


class GoalError(ReportError):
    """The documents lack what a goal speaks of: a class, a domain."""


class Unreachable(GoalError):
    """No level of the grid meets the goal on these documents; the message gives the range that can be met."""


class ConvertError(ValueError):
    """A run's folder cannot be turned into a Hugging Face model; the text says which file and what to do."""


class LaunchError(ValueError):
    """The run cannot be started as it is described; nothing was written or started. Says what to change."""


class MixError(DatasetError):
    """A source or an output folder is not what the mix needs."""


class OtherTokenizerError(MixError):
    """Two sources were exported with different tokenizers, so their ids do not mean the same."""


class ExhaustedSourceError(MixError):
    """A source has fewer tokens than its share needs, and repeats are refused."""


class CoarseSourceError(MixError):
    """No set of whole documents of a source comes near enough to its share."""


class ScoreMissingError(MixError):
    """An annotator finds no score for a document."""


class ManifestError(ValueError):
    """A manifest, or a file that it names, is missing, cannot be read, or lies outside the folder."""
