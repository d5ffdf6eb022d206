"""Why a document could not be scored: a fixed vocabulary, so that a table of faults can be counted and compared."""

REASONS = {
    "unreadable_file": "the file's footer or stream cannot be read; one row stands for the whole file",
    "schema_mismatch": "the file (or JSON line) lacks a needed column, or has one that does not fit the others",
    "vanished_file": "the file was listed, but was gone when its turn came",
    "changed_file": "the file's size or time changed between listing and reading",
    "corrupt_rows": "this part of the file cannot be decoded",
    "malformed_json": "the line is not a JSON object in UTF-8",
    "wrong_type": "a value does not have its column's type",
    "null_text": "the text is null",
    "invalid_text": "the text is not valid UTF-8",
    "duplicate_id": "another row has the same document id; the first one in order of file and row was kept",
    "misaligned": "the tokenizer's tokens do not tile the text, or the text is too long for it and cannot be cut",
    "non_finite_score": "the classifier gave NaN or infinity",
}
