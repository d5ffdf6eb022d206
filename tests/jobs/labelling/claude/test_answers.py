"""An answer fits its schema exactly or is none; a schema that would not be enforced is refused."""

import pytest

from tests.claude_project import question
from tokensieve.jobs.labelling.claude.answers import check_schema, unfit
from tokensieve.jobs.labelling.claude.request import Request

LABEL = {"type": "string", "enum": ["forget", "retain"]}
NUMBERS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 1, "maxItems": 3}
SCHEMA = {
    "type": "object",
    "properties": {"label": LABEL, "at": NUMBERS, "score": {"type": ["number", "null"]}},
    "required": ["label", "at"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "value",
    [
        {"label": "forget", "at": [1]},
        {"at": [1, 9, 3], "label": "retain", "score": 0.5},
        {"label": "retain", "at": [2], "score": None},
        {"label": "retain", "at": [2], "score": 1},
    ],
)
def test_values_that_fit(value):
    check_schema(SCHEMA)
    assert unfit(value, SCHEMA) == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "answer is null, not object"),
        ([], "answer is [], not object"),
        ({"label": "forget"}, "answer lacks at"),
        ({"label": "forget", "at": [1], "why": "x"}, "answer has why, which was not asked for"),
        ({"label": "Forget", "at": [1]}, 'answer.label is "Forget", not one of ["forget", "retain"]'),
        ({"label": "forget", "at": []}, "answer.at: 0 is below minItems 1"),
        ({"label": "forget", "at": [1, 2, 3, 4]}, "answer.at: 4 is above maxItems 3"),
        ({"label": "forget", "at": [1, 0]}, "answer.at[1]: 0 is below minimum 1"),
        ({"label": "forget", "at": [10]}, "answer.at[0]: 10 is above maximum 9"),
        ({"label": "forget", "at": ["1"]}, 'answer.at[0] is "1", not integer'),
        ({"label": "forget", "at": [1.0]}, "answer.at[0] is 1.0, not integer"),
        ({"label": "forget", "at": [True]}, "answer.at[0] is true, not integer"),
        ({"label": "forget", "at": [1], "score": "high"}, 'answer.score is "high", not number or null'),
        ({"label": "forget", "at": [1], "score": False}, "answer.score is false, not number or null"),
    ],
)
def test_values_that_do_not_fit_say_where_and_why(value, why: str):
    assert unfit(value, SCHEMA) == why


def test_a_number_is_not_a_boolean_and_an_enum_knows_types():
    assert unfit(1, {"type": "boolean"}) == "answer is 1, not boolean"
    assert unfit(1.0, {"type": "number", "enum": [1]}) == "answer is 1.0, not one of [1]"
    assert unfit("ab", {"type": "string", "maxLength": 1}) == "answer: 2 is above maxLength 1"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string", "pattern": "a"}, "keyword pattern is not enforced here"),
        ({"type": "text"}, "type 'text' is not one of"),
        ({"enum": ["a"]}, "type None is not one of"),
        ({"type": "object", "properties": {}}, "an object needs additionalProperties: false"),
        ({"type": "array"}, "an array needs items"),
        ({"type": "array", "items": {"type": "object"}}, "schema.items: an object needs additionalProperties"),
        ("string", "schema must be an object"),
    ],
)
def test_a_schema_that_would_not_be_enforced_is_refused(schema, why: str):
    with pytest.raises(ValueError, match=why):
        check_schema(schema)


def test_a_key_covers_all_that_is_asked_and_who_is_asked():
    request = question("one")
    changes = {
        **{"prompt": "document/2", "definition_id": "f", "system": "S", "user": "U", "max_tokens": 21},
        "schema": {"type": "boolean"},
    }
    keys = {Request(**{**vars(request), name: value}).key("m") for name, value in changes.items()}
    keys |= {request.key("m"), request.key("n")}
    assert len(keys) == 8
    assert {len(key) for key in keys} == {48}
    # The key is stored for as long as the ledger lives: this one must never change.
    assert request.key("m") == "d88ebd447d39bd34b36e31d7f6eacf5846ccbc94d0a70b7d"
