"""`trace --step N --rank R`: the documents and byte ranges that one process of a run read in one step.

Read from the order of samples and the list of starts of the run, so that it holds across resumes at other sizes.
Byte ranges are those of the document's text; they need a tokenizer whose ids spell their bytes.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.releases.training_runs import of_its_run, output_folder, planned, section, shards_folder
from tokensieve.jobs.tracing.samples import samples_of_run
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.documents import read_index
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.training.step_share import Cut, cut_at
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.pretrain.samples.locate import Piece

ABOUT = ["doc_id", "source", "source_file", "source_row"]
PREFIX = "prefix_tokens"  # tokens that a mix put in front of a document's text


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a document in a sample. Tokens and bytes are half-open ranges in the document; `labels` of the tokens
    are predicted there, `loss_labels` of them bear loss."""

    sample: int
    microbatch: int
    doc_id: str | None
    source: str | None
    source_file: str | None
    source_row: int | None
    shard: str
    document: int
    tokens: tuple[int, int]
    bytes: tuple[int, int] | None
    labels: int
    loss_labels: int


def run(config: "Config", step: int, rank: int) -> dict[str, Any]:
    """What a process read in a step, as plain values, and under "lines" for people.

    Raises InputError for a step or rank that the run does not have, PlanError, ManifestError, DatasetError.
    """
    from tokensieve.pretrain.samples.locate import pieces_of_sample

    config = of_its_run(config)
    settings, folder = section(config), shards_folder(config)
    todo = planned(config)
    if not 0 <= step < todo.steps:
        raise InputError(f"step {step}: the run has steps 0 to {todo.steps - 1}")
    cut = cut_at(output_folder(config), step) or Cut(
        first_step=0,
        processes=1,
        tensor=1,
        pipeline=1,
        micro_batch_size=settings.micro_batch_size,
        global_batch_size=settings.global_batch_size,
    )
    try:
        data_rank = cut.data_rank(rank)
    except ValueError as error:
        raise InputError(f"{error} that did step {step}") from None
    samples = samples_of_run(config, todo)
    documents = _Documents(Corpus.load(folder, settings.manifest), settings.seq_length)
    parts = [
        _part(piece, at, documents, samples[number])
        for at, numbers in enumerate(cut.samples(step, data_rank))
        for number in numbers
        for piece in pieces_of_sample(samples, number)
    ]
    found = {"step": step, "rank": rank, "processes": cut.processes, "parts": [asdict(part) for part in parts]}
    return found | {"lines": _lines(parts, step, rank, cut)}


class _Documents:
    """The documents of a corpus by shard, opened when first asked for."""

    def __init__(self, corpus: Corpus, seq_length: int) -> None:
        self._shards = {shard.name: shard for shard in corpus.shards("train", seq_length)}
        self._tokenizer = ByteTokenizer.load(corpus.tokenizer_file)
        self._hidden_id = corpus.tokenizer.hidden_id
        self._open: dict[str, tuple[ShardReader, dict[str, list]]] = {}

    def about(self, shard: str, document: int) -> dict[str, Any]:
        _, index = self._opened(shard)
        return {name: index[name][document] for name in ABOUT}

    def bytes(self, shard: str, document: int, first: int, end: int) -> tuple[int, int] | None:
        """The bytes of tokens `first` to `end`; None where an id does not spell its bytes (a hidden one)."""
        reader, index = self._opened(shard)
        added = index[PREFIX][document] or 0
        ids_T = np.asarray(reader.ids(document)[added:-1], dtype=np.int64)
        lengths_T = self._tokenizer.byte_lengths(ids_T)
        if lengths_T is None or (ids_T == self._hidden_id).any():
            return None
        ends_T1 = np.concatenate([[0], np.cumsum(lengths_T)])
        first, end = (min(max(token - added, 0), len(lengths_T)) for token in (first, end))
        return int(ends_T1[first]), int(ends_T1[end])

    def _opened(self, shard: str) -> tuple[ShardReader, dict[str, list]]:
        if shard not in self._open:
            prefix = self._shards[shard].prefix
            self._open[shard] = (ShardReader(prefix), read_index(prefix, [*ABOUT, PREFIX]))
        return self._open[shard]


def _part(piece: "Piece", microbatch: int, documents: _Documents, sample: dict[str, Any]) -> Part:
    loss_mask_L = sample["loss_mask"][piece.labels]
    return Part(
        sample=piece.sample,
        microbatch=microbatch,
        **documents.about(piece.shard, piece.document),
        shard=piece.shard,
        document=piece.document,
        tokens=(piece.first, piece.end),
        bytes=documents.bytes(piece.shard, piece.document, piece.first, piece.end),
        labels=len(loss_mask_L),
        loss_labels=int(loss_mask_L.sum()),
    )


def _lines(parts: list[Part], step: int, rank: int, cut: Cut) -> list[str]:
    lines = [f"step {step}, rank {rank} of {cut.processes}: {len({part.sample for part in parts})} samples"]
    for part in parts:
        where = "" if part.source_file is None else f" ({part.source_file}, row {part.source_row})"
        span = "bytes not known" if part.bytes is None else f"bytes {part.bytes[0]}:{part.bytes[1]}"
        lines.append(
            f"  sample {part.sample}  {part.doc_id}{where}: tokens {part.tokens[0]}:{part.tokens[1]}, {span}, "
            f"{part.loss_labels} of {part.labels} labels bear loss"
        )
    return lines
