"""Errors of a training run that are raised in more than one file."""


class TrainingError(RuntimeError):
    """Training cannot start here, or went wrong in a way that more steps do not mend."""
