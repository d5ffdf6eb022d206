"""The vocabulary of reasons: each says what it means and what to do, and no other file spells one by itself."""

import ast
from pathlib import Path

from tokensieve.udfs.reading import fault_reasons
from tokensieve.udfs.reading.fault_reasons import ELSE, REASONS, advice, meaning


def test_every_reason_has_its_name_its_meaning_and_its_advice():
    names = {value for name, value in vars(fault_reasons).items() if name.isupper() and name not in ("ELSE", "REASONS")}
    assert names == REASONS.keys()
    for reason in REASONS:
        assert meaning(reason)
        assert advice(reason).endswith(".")
    own = {reason for reason in REASONS if advice(reason) != ELSE}
    assert own == {"unreadable_file", "schema_mismatch", "vanished_file", "changed_file"}, "those of whole files"


def test_a_reason_of_another_version_has_no_meaning_and_the_general_advice():
    assert (meaning("of_tomorrow"), advice("of_tomorrow")) == ("", ELSE)


def test_producers_take_their_reasons_from_the_vocabulary(repository: Path):
    spelled = [
        f"{file}:{node.lineno}"
        for room in ("udfs", "jobs", "pretrain")
        for file in sorted((repository / room).rglob("*.py"))
        if file.name != "fault_reasons.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in REASONS
    ]
    assert spelled == []
