from pydantic import BaseModel, ConfigDict


class SpansConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
