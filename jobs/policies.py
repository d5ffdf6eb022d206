"""What a policy is to a run: its written definition, its classifier bundle, its rule, each named by its content."""

import hashlib
import json
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.definition import Action, Examples, Forget, KnownDocuments, Text
from udfs.rule import Rule

if TYPE_CHECKING:
    from udfs.bundle import Bundle


class PolicyConfig(BaseModel):
    """One entry under `policies`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition: str
    """A policy file: a path, or the name of one in `conf/policies/`."""
    bundle: str
    """A classifier bundle: a folder, or the name of one in `conf/classifiers/`."""
    rule: Rule = Rule()


class PolicyDefinition(BaseModel):
    """A policy in words (arXiv 2601.21571, C.1): what is to be forgotten, and what near it is to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Literal["capability", "attribute"]
    """capability: what a model shall not know; attribute: a manner, such as toxicity, of which a share is kept so that
    it can be recognised and steered (arXiv 2505.04741)."""
    description: Text
    include: tuple[Text, ...] = Field(min_length=1)
    exclude: tuple[Text, ...] = ()
    examples: Examples = Examples()
    documents: KnownDocuments
    actions: dict[str, Action] = Field(min_length=1)
    """Domain of the data to what is done with it; `default` holds for every domain that is not named."""

    @model_validator(mode="after")
    def _actions_fit(self) -> Self:
        if "default" not in self.actions:
            raise ValueError("actions: name the action of the domain `default`")
        for domain, action in self.actions.items():
            if isinstance(action, Forget) != (self.kind == "capability"):
                fits = "mask or hide" if self.kind == "capability" else "keep_share"
                raise ValueError(f"actions.{domain}: {action.action} does not fit a policy of kind {self.kind}: {fits}")
        return self

    @property
    def definition_id(self) -> str:
        """16 hex digits of the SHA-256 of the definition's content."""
        return content_id(self.model_dump(mode="json"))


def load_definition(reference: str) -> PolicyDefinition:
    """Reads a policy file. Raises ConfigError as `load_config` does."""
    from jobs.config import load_section

    return load_section(PolicyDefinition, reference if "/" in reference else f"policies/{reference}")


def load_bundle(policy: str, config: PolicyConfig) -> "Bundle":
    """Loads and verifies a policy's bundle. Raises InputError naming the policy."""
    from jobs.errors import InputError
    from udfs.bundle import Bundle, BundleError, resolve

    try:
        return Bundle.load(resolve(config.bundle))
    except (BundleError, OSError) as error:
        raise InputError(f"policies.{policy}.bundle: {error}") from error


class RuleSet(BaseModel):
    """All that decides what is forgotten: named as a whole by `rule_id`, stored beside the masked table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policies: dict[str, "RuleEntry"]

    @property
    def rule_id(self) -> str:
        return content_id(self.model_dump(mode="json"))


class RuleEntry(BaseModel):
    """One policy's part of a rule set; both thresholds are those in force, the bundle's where the rule has none.

    `cascade_threshold` is the document score below which a document has no forget span, None without a cascade.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition_id: str
    bundle_id: str
    threshold: float
    cascade_threshold: float | None = None
    rule: Rule

    @property
    def in_force(self) -> Rule:
        """The rule with the cascade that the bundle brings."""
        return self.rule.model_copy(update={"cascade_threshold": self.cascade_threshold})


def rule_set(policies: dict[str, PolicyConfig]) -> RuleSet:
    """The rule set that a configuration describes. Raises ConfigError, InputError."""
    entries = {}
    for name, config in sorted(policies.items()):
        bundle = load_bundle(name, config)
        entries[name] = RuleEntry(
            definition_id=load_definition(config.definition).definition_id,
            bundle_id=bundle.bundle_id,
            threshold=config.rule.threshold or bundle.spec.thresholds["token"].value,
            cascade_threshold=_cascade_threshold(config.rule, bundle),
            rule=config.rule,
        )
    return RuleSet(policies=entries)


def token_thresholds(policies: dict[str, PolicyConfig]) -> dict[str, float]:
    """By policy the token probability from which on a token is forget text. Raises ConfigError, InputError."""
    return {name: entry.threshold for name, entry in rule_set(policies).policies.items()}


def _cascade_threshold(rule: Rule, bundle: "Bundle") -> float | None:
    """The rule's (0: none), else the bundle's."""
    if rule.cascade_threshold is not None:
        return rule.cascade_threshold or None
    return bundle.spec.cascade.document_threshold if bundle.spec.cascade else None


def content_id(content: object) -> str:
    """16 hex digits of the SHA-256 of canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
