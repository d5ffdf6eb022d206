"""A policy is one file: it is checked whole, and named by all that stands in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tokensieve.jobs.config.load import to_yaml
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.policies.definition import PolicyDefinition, load_definition

COOKING: dict[str, Any] = {
    "name": "cooking",
    "kind": "capability",
    "description": "How food is made.",
    "include": ["recipes"],
    "documents": {"positive": ["Boil the rice."], "negative": ["Rain fell."]},
    "actions": {"default": {"action": "mask"}},
}


def with_changes(**changes: Any) -> PolicyDefinition:
    return PolicyDefinition.model_validate(COOKING | changes)


def load(tmp_path: Path, **changes: Any) -> PolicyDefinition:
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(COOKING | changes))
    return load_definition(str(file))


@pytest.mark.parametrize("name", ["medicine", "toxicity"])
def test_shipped_policies_have_examples_that_flip_and_enough_canaries(name):
    policy = load_definition(name)
    assert policy.name == name
    latents = {(one.description, one.forget) for one in policy.examples.latents}
    sentences = {(one.sentence, one.forget) for one in policy.examples.sentences}
    assert sum((text, not forget) in latents for text, forget in latents) >= 4
    assert sum((text, not forget) in sentences for text, forget in sentences) >= 4
    assert len(policy.documents.positive) >= 5
    assert len(policy.documents.negative) >= 5


def test_a_capability_is_masked_and_an_attribute_kept_in_part():
    medicine, toxicity = load_definition("medicine"), load_definition("toxicity")
    assert medicine.model_dump()["actions"] == {"default": {"action": "mask"}}
    assert toxicity.model_dump()["actions"] == {"default": {"action": "keep_share", "share": 0.1}}


def test_every_part_of_a_policy_is_in_its_name(tmp_path):
    changed = [
        {},
        {"description": "How food is made and served."},
        {"exclude": ["restaurants"]},
        {"documents": {"positive": ["Boil the rice."], "negative": ["Snow fell."]}},
        {"actions": {"default": {"action": "hide"}}},
        {"examples": {"sentences": [
            {"document": "Stir. Stop.", "sentence": "Stir.", "forget": True},
            {"document": "Walk. Stop.", "sentence": "Stop.", "forget": False},
        ]}},
    ]  # fmt: skip
    assert len({with_changes(**one).definition_id for one in changed}) == len(changed)
    assert load(tmp_path).definition_id == with_changes().definition_id
    assert "definition_id" not in to_yaml(with_changes())


FLIPPED = {"description": "salt", "contexts": ["a pinch of salt"], "forget": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kin": "attribute"}, "unknown key kin; did you mean kind"),
        ({"documents": {"positive": ["Boil."], "negative": ["Boil."]}}, "a document is both positive and negative"),
        ({"documents": {"positive": [], "negative": ["Rain."]}}, "documents.positive"),
        ({"actions": {"code": {"action": "mask"}}}, "name the action of the domain `default`"),
        ({"actions": {"default": {"action": "keep_share", "share": 0.1}}}, "does not fit a policy of kind capability"),
        ({"kind": "attribute"}, "actions.default: mask does not fit a policy of kind attribute: keep_share"),
        ({"actions": {"default": {"action": "mask", "share": 0.1}}}, "share"),
        ({"examples": {"latents": [FLIPPED]}}, "one example that falls under the policy and one that does not"),
        ({"examples": {"latents": [FLIPPED, {**FLIPPED, "forget": False}]}}, "one example has both labels"),
        (
            {"examples": {"sentences": [{"document": "A.", "sentence": "B.", "forget": True}]}},
            "the sentence 'B.' does not stand in its document",
        ),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(tmp_path, changes, expected):
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path, **changes)
