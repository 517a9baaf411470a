"""Value: what the parts of a bundle's description are."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Physical = Annotated[float, Field(ge=-1e30, le=1e30)]  # float32 holds it, and what a scene's values are off it
