"""Errors of a training run that are raised in more than one file."""


class TrainingError(RuntimeError):
    """Training cannot start here, or went wrong in a way that more steps do not mend."""

    exit_code = 1
    """Of a command that ends with this error."""


class DatasetError(ValueError):
    """The shards cannot be turned into the samples that were asked for."""
