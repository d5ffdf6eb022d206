"""Verb `label claude questions`: which multiple-choice questions fall under the policy? For cleaning test sets.

Reads one Parquet file and writes another, `claude/questions.parquet` below the tables' root; no Spark. Every question
has a row: its label, or no label and the state that says why.
"""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs.config.claude import QuestionsConfig
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.labelling.claude.asker import Asker, any_answer, states
from tokensieve.jobs.labelling.claude.canaries import question_canaries
from tokensieve.jobs.labelling.claude.fence import FenceError, flags
from tokensieve.jobs.labelling.claude.prompts import is_forget, question
from tokensieve.jobs.labelling.claude.request import Answer, Request
from tokensieve.jobs.labelling.documents import write_table

QUESTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("label", pa.bool_()),  # true: falls under the policy; null unless the state is "done"
        pa.field("state", pa.string()),  # done, refused, failed, or unreadable
        pa.field("note", pa.string()),
    ]
)


def run(config: LabelConfig) -> dict[str, Any]:
    """Asks, then writes one row per question. Raises InputError for a file without the columns, or with an id twice."""
    asker = Asker.of(config)
    settings = asker.claude.questions
    if settings is None:
        raise ConfigError("this verb needs a section `claude.questions`, at least its key `path`")
    rows = _rows(settings)
    requests, unreadable = _requests(asker, settings, rows)
    canaries = question_canaries(asker.policy, asker.fence, settings.max_characters)
    if asker.claude.dry_run:
        return asker.preview([*requests.values()], canaries)
    answers = dict(zip(requests, asker.ask([*requests.values()], any_answer, canaries), strict=True))
    columns = [_row(asker, one, answers.get(one[0]), unreadable.get(one[0], "")) for one in rows]
    table = pa.Table.from_pylist(columns, QUESTION_SCHEMA)
    file = config.tables.folder / "claude" / "questions.parquet"
    write_table(file, table.replace_schema_metadata({"definition_id": asker.policy.definition_id}))
    counts = {"in": len(rows), "forget": sum(one["label"] is True for one in columns)}
    counts |= {"keep": sum(one["label"] is False for one in columns)}
    unknown = {"unknown": len(rows) - counts["forget"] - counts["keep"]}
    return {"table": str(file), "questions": counts | unknown, "answers": states([*answers.values()])}


Row = tuple[str, str | None, list[str | None] | None]


def _rows(settings: QuestionsConfig) -> list[Row]:
    """(id, question, choices) of the file, in its order."""
    names = [settings.id, settings.question, settings.choices]
    try:
        table = pq.read_table(settings.path, columns=names)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"claude.questions.path: {settings.path}: {error}") from error
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InputError(f"claude.questions: {settings.path} has no column {missing[0]!r}; name it in claude.questions")
    choices = table.schema.field(settings.choices).type
    if not pa.types.is_list(choices) or not pa.types.is_string(choices.value_type):
        raise InputError(f"claude.questions.choices: column {settings.choices!r} of {settings.path} is {choices}")
    ids = table[settings.id].cast(pa.string()).to_pylist()
    if None in ids or len(set(ids)) != len(ids):
        wrong = next(one for at, one in enumerate(ids) if one is None or one in ids[:at])
        raise InputError(f"claude.questions.id: {settings.path} has the id {wrong!r} twice or empty; labels go by id")
    return [*zip(ids, table[settings.question].to_pylist(), table[settings.choices].to_pylist())]


def _requests(asker: Asker, settings: QuestionsConfig, rows: list[Row]) -> tuple[dict[str, Request], dict[str, str]]:
    """Requests by id, and for the questions that cannot be asked about why not."""
    requests, unreadable = {}, {}
    for name, text, choices in rows:
        if not (text or "").strip() or choices is None or None in choices:
            unreadable[name] = "the question or a choice is empty"
            continue
        shown = [one for one in choices if one is not None]
        try:
            requests[name] = question(asker.policy, asker.fence, text or "", shown, settings.max_characters)
        except FenceError as error:
            unreadable[name] = str(error)
    return requests, unreadable


def _row(asker: Asker, row: Row, answer: Answer | None, why: str) -> dict[str, str | bool | None]:
    name, text, choices = row
    found = flags("\n".join([text or "", *(one or "" for one in choices or [])]))
    label = is_forget(asker.fence, answer.value) if answer is not None and answer.state == "done" else None
    detail = [answer.detail if answer is not None else why, f"review: {', '.join(found)}" if found else ""]
    state = answer.state if answer is not None else "unreadable"
    return {"id": name, "label": label, "state": state, "note": "; ".join(filter(None, detail)) or None}
