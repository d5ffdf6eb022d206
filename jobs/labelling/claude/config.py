from pydantic import BaseModel, ConfigDict


class ClaudeConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
