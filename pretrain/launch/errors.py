"""Errors of the launcher."""


class LaunchError(ValueError):
    """The run cannot be started as it is described; nothing was written or started. Says what to change."""
