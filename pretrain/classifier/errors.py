"""What can go wrong while a classifier is fitted; every message says what is missing and what to do."""


class FitError(ValueError):
    """A classifier cannot be fitted as the recipe says from these documents."""
