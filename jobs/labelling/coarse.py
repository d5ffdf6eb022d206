from pydantic import BaseModel, ConfigDict


class CoarseConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
