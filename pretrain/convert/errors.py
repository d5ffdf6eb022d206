"""The error of a conversion."""


class ConvertError(ValueError):
    """A run's folder cannot be turned into a Hugging Face model; the text says which file and what to do."""
