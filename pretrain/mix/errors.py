"""What can be wrong with a mix. All are DatasetErrors: these sources do not give the tokens that were asked for."""

from pretrain.errors import DatasetError


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
