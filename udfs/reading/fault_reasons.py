"""Why a document could not be scored: a fixed vocabulary, so that a table of faults can be counted and compared."""

from dataclasses import dataclass

UNREADABLE_FILE = "unreadable_file"
SCHEMA_MISMATCH = "schema_mismatch"
VANISHED_FILE = "vanished_file"
CHANGED_FILE = "changed_file"
CORRUPT_ROWS = "corrupt_rows"
MALFORMED_JSON = "malformed_json"
WRONG_TYPE = "wrong_type"
NULL_TEXT = "null_text"
INVALID_TEXT = "invalid_text"
DUPLICATE_ID = "duplicate_id"
MISALIGNED = "misaligned"
NON_FINITE_SCORE = "non_finite_score"

ELSE = "See the table quarantine; refresh --replay reads the file again, source.exclude takes it out."
"""What to do about a reason that nothing better is known of."""


@dataclass(frozen=True)
class Text:
    """What pages say of a reason: what it means, and what to do about a file that has it."""

    meaning: str
    advice: str = ELSE


REASONS = {
    UNREADABLE_FILE: Text(
        "the file's footer or stream cannot be read; one row stands for the whole file",
        "Put the file there again, whole; the next refresh sees that it changed.",
    ),
    SCHEMA_MISMATCH: Text(
        "the file (or JSON line) lacks a needed column, or has one that does not fit the others",
        "Name the column in source.columns, or write the file again with the columns of the others. "
        "After a change of the configuration only: refresh --replay.",
    ),
    VANISHED_FILE: Text(
        "the file was listed, but was gone when its turn came",
        "Somebody removed it while it was read. Nothing to do: the next refresh looks again.",
    ),
    CHANGED_FILE: Text(
        "the file's size or time changed between listing and reading",
        "Somebody wrote it while it was read. Nothing to do: the next refresh takes it.",
    ),
    CORRUPT_ROWS: Text("this part of the file cannot be decoded"),
    MALFORMED_JSON: Text("the line is not a JSON object in UTF-8"),
    WRONG_TYPE: Text("a value does not have its column's type"),
    NULL_TEXT: Text("the text is null"),
    INVALID_TEXT: Text("the text is not valid UTF-8"),
    DUPLICATE_ID: Text("another row has the same document id; the first one in order of file and row was kept"),
    MISALIGNED: Text("the tokenizer's tokens do not tile the text, or the text is too long for it and cannot be cut"),
    NON_FINITE_SCORE: Text("the classifier gave NaN or infinity"),
}


def meaning(reason: str) -> str:
    """What a reason means; nothing for one that is not of the vocabulary, as an older table may have."""
    return REASONS[reason].meaning if reason in REASONS else ""


def advice(reason: str) -> str:
    """What to do about a file with this reason."""
    return REASONS[reason].advice if reason in REASONS else ELSE
