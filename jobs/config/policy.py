"""One entry of section `policies`: a definition, a classifier, a rule."""

from pydantic import BaseModel, ConfigDict

from tokensieve.udfs.deciding.rule import Rule


class PolicyConfig(BaseModel):
    """One entry under `policies`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition: str
    """A policy file: a path, or the name of one in `conf/policies/`."""
    bundle: str
    """A classifier bundle: a folder, or the name of one in `conf/classifiers/`."""
    rule: Rule = Rule()
