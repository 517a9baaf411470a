"""Value: what the parts of a bundle's description are."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from geoseg.options.parse import parse_views
from geoseg.untrusted.text import fault_of_name, fault_of_text


class Value(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def a_name(text: str) -> str:
    """Return a name that every output can hold; raises ValueError for others."""
    if fault := fault_of_name(text):
        raise ValueError(fault)
    return text


def a_text(text: str) -> str:
    """Return a text that every output can hold; raises ValueError for others."""
    if fault := fault_of_text(text):
        raise ValueError(fault)
    return text


Name = Annotated[str, AfterValidator(a_name)]
Text = Annotated[str, AfterValidator(a_text)]
Views = Annotated[str, BeforeValidator(parse_views)]  # of a window, e.g. "flip@0.75,1"
Physical = Annotated[float, Field(ge=-1e30, le=1e30)]  # float32 holds it, and what a scene's values are off it
