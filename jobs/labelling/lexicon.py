from pydantic import BaseModel, ConfigDict


class LexiconConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
