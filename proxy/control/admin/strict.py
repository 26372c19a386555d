"""Bodies of the admin API: a strict model of each, and faults that name the field and never show what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from proxy.control.admin.body import fields
from proxy.control.admin.web import Fault, Problem

if TYPE_CHECKING:
    from proxy.control.admin.web import Request

MOST_FAULTS = 20


class Body(BaseModel):
    """What a request may say; nothing else is taken, so no field that a caller must not set can be slipped in."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("no spaces around it and no control characters")
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._@+-]{0,99}$")]
"""Of a user or a token. It begins with a letter, so no name is an id."""
Line = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Team = Line

B = TypeVar("B", bound=BaseModel)


def read(model: type[B], request: Request) -> B:
    """The body of a request as this model.

    Raises Problem: 400 invalid, naming each field that is wrong, and all that `body.fields` raises.
    """
    fields(request)
    try:
        return model.model_validate_json(request.body)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Problem:
    """The faults of a body, in our words and without its values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    faults = tuple(Fault(_place(one["loc"]), one["msg"]) for one in found[:MOST_FAULTS])
    return Problem(400, "invalid", "The body is not as it has to be.", faults)


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
