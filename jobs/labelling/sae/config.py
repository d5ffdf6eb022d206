from pydantic import BaseModel, ConfigDict


class SaeConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
