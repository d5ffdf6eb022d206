"""What a policy is to a run: its definition, its classifier bundle and its rule, named together by their content."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tokensieve.jobs.config.policy import PolicyConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.udfs.deciding.rule import Rule
from tokensieve.udfs.files.content_id import content_id

if TYPE_CHECKING:
    from tokensieve.udfs.bundles.bundle import Bundle


def load_bundle(policy: str, config: PolicyConfig) -> "Bundle":
    """Loads and verifies a policy's bundle. Raises InputError naming the policy."""
    from tokensieve.udfs.bundles.bundle import Bundle, resolve
    from tokensieve.udfs.bundles.bundle_checks import BundleError

    try:
        return Bundle.load(resolve(config.bundle))
    except (BundleError, OSError) as error:
        raise InputError(f"policies.{policy}.bundle: {error}") from error


def load_bundles(policies: Mapping[str, PolicyConfig]) -> dict[str, "Bundle"]:
    """Every policy's bundle, verified: read once a run and handed on. Raises InputError naming the policy."""
    return {name: load_bundle(name, config) for name, config in policies.items()}


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


def rule_set(policies: Mapping[str, PolicyConfig], bundles: "Mapping[str, Bundle] | None" = None) -> RuleSet:
    """The rule set that a configuration describes. `bundles`: as `load_bundles`; None: loads them.

    Raises ConfigError, InputError.
    """
    bundles = bundles or load_bundles(policies)
    entries = {}
    for name, config in sorted(policies.items()):
        bundle = bundles[name]
        entries[name] = RuleEntry(
            definition_id=load_definition(config.definition).definition_id,
            bundle_id=bundle.bundle_id,
            threshold=config.rule.threshold or bundle.spec.thresholds["token"].value,
            cascade_threshold=_cascade_threshold(config.rule, bundle),
            rule=config.rule,
        )
    return RuleSet(policies=entries)


def token_thresholds(policies: Mapping[str, PolicyConfig], bundles: "Mapping[str, Bundle]") -> dict[str, float]:
    """By policy the token probability from which on a token is forget text. Raises ConfigError."""
    return {name: entry.threshold for name, entry in rule_set(policies, bundles).policies.items()}


def _cascade_threshold(rule: Rule, bundle: "Bundle") -> float | None:
    """The rule's (0: none), else the bundle's."""
    if rule.cascade_threshold is not None:
        return rule.cascade_threshold or None
    return bundle.spec.cascade.document_threshold if bundle.spec.cascade else None


def save_rules(tables: TablesConfig, rules: RuleSet) -> None:
    """Writes what `rule_id` names to `<root>/rules/<rule_id>.json`."""
    tables.store.write(f"rules/{rules.rule_id}.json", (rules.model_dump_json(indent=2) + "\n").encode())


def load_rules(tables: TablesConfig, rule_id: str) -> RuleSet:
    """Reads a rule set back. Raises InputError when it is not there."""
    name = f"rules/{rule_id}.json"
    try:
        return RuleSet.model_validate_json(tables.store.read(name))
    except FileNotFoundError:
        where = tables.store.uri(name)
        raise InputError(f"{where}: the content of rule {rule_id} is missing; run `tokensieve mask` again") from None
