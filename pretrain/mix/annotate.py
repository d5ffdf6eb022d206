"""What a source's documents get in front of them: their score (MEDA) or an instruction (INST), as token ids.

Source: Prabhumoye et al. 2023, as arXiv 2505.04741 uses them. The prefix is tokenized by itself, so no id and no
boundary of the document changes; traded away is that text and prefix could have shared a token at the seam.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tokensieve.pretrain.errors import MixError, ScoreMissingError
from tokensieve.pretrain.mix.config import InstConfig, MedaConfig
from tokensieve.pretrain.mix.source import Source
from tokensieve.pretrain.shards.manifest import inside
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@dataclass(frozen=True, kw_only=True)
class Prefixes:
    """U different prefixes and which of them each of D documents has.

    Attributes:
        ids_U: the token ids of each, int32 [P]. of_D: int32, the document's prefix. loss: whether they bear loss.
    """

    ids_U: tuple[np.ndarray, ...]
    of_D: np.ndarray
    loss: bool

    @property
    def lengths_D(self) -> np.ndarray:
        """Tokens in front of each document, int64."""
        return np.array([len(ids_P) for ids_P in self.ids_U], np.int64)[self.of_D]


def prefixes(source: Source) -> Prefixes | None:
    """The source's prefixes, None where it has no annotator.

    Raises ScoreMissingError that names the document, MixError: a tokenizer file or a scores file that is not as said.
    """
    config = source.config.annotate
    if config is None:
        return None
    texts, of_D = prefix_texts(config, document_scores(source, config))
    file = inside(source.folder, source.manifest.tokenizer.file)
    try:
        tokenizer = ByteTokenizer.load(file)
    except (OSError, ValueError) as error:
        raise MixError(f"{source}: its tokenizer cannot be read: {error}; export the source again") from error
    if tokenizer.sha256 != source.manifest.tokenizer.sha256:
        raise MixError(f"{source}: {file} is not the tokenizer that the manifest names; export the source again")
    tokens = tokenizer.encode(texts)
    if tokens.failed:
        at, why = next(iter(tokens.failed.items()))
        raise MixError(f"{source}: the prefix {texts[at]!r} cannot be tokenized: {why}; change the template")
    return Prefixes(ids_U=tuple(np.split(tokens.ids_T, tokens.bounds_D1[1:-1])), of_D=of_D, loss=config.loss)


def prefix_texts(config: MedaConfig | InstConfig, score_D: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The different prefixes, in order of first use by score, and each document's number among them, int32 [D]."""
    if isinstance(config, InstConfig):
        return [config.below, config.above], (score_D >= config.threshold).astype(np.int32)
    scores, of_D = np.unique(score_D, return_inverse=True)
    numbers: dict[str, int] = {}
    of_score = [numbers.setdefault(config.template.format(score=score), len(numbers)) for score in scores.tolist()]
    return list(numbers), np.array(of_score, np.int32)[of_D]


def document_scores(source: Source, config: MedaConfig | InstConfig) -> np.ndarray:
    """The score of every document, float64 [D], from the document index or from `config.scores`."""
    docs, column = source.docs(), f"doc_score_{config.policy}"
    if config.policy is not None and column in docs.column_names:
        found, where = docs[column], f"column {column} of the document index"
    elif config.scores is not None:
        found, where = _from_file(docs["doc_id"], Path(config.scores), source), config.scores
    else:
        raise ScoreMissingError(
            f"{source}: the document index has no column {column} (it has {', '.join(docs.column_names)}); export the "
            "source again with this policy, or give annotate.scores, a Parquet file of doc_id and score"
        )
    score_D = found.cast(pa.float64()).to_numpy()
    lacking = np.flatnonzero(np.isnan(score_D))  # a null becomes NaN
    if len(lacking):
        first = docs["doc_id"][int(lacking[0])].as_py()
        raise ScoreMissingError(
            f"{source}: {len(lacking)} of {len(score_D)} documents have no score in {where}, the first is {first!r}; "
            "score them, or drop them from the source"
        )
    return score_D


def _from_file(ids: pa.ChunkedArray, path: Path, source: Source) -> pa.ChunkedArray:
    """Scores of the ids, null where the file lacks one."""
    try:
        table = ds.dataset(path, format="parquet").to_table(columns=["doc_id", "score"])
        known = table["doc_id"].cast(pa.string())
    except (OSError, pa.ArrowException) as error:
        raise MixError(f"{source}: annotate.scores {path} has no readable columns doc_id and score: {error}") from error
    if (different := len(known.unique())) != len(known):
        raise MixError(
            f"{source}: annotate.scores {path} has {len(known)} rows for {different} ids; one score a document"
        )
    return table["score"].take(pc.call_function("index_in", [ids], pc.SetLookupOptions(known)))
