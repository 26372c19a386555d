"""Kinds of values, and what a section is: the words `schema` and `usage` are written in."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from proxy.core import model, surfaces
from proxy.core.config import values
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def switch(value: object) -> object:
    """`on` and `off` as words; JSON, and YAML of other programs, has them as true and false."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return lower(value)


def no_switch(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Pydantic reads true as 1 wherever a number is wanted."""
    found = read(value)
    if isinstance(value, bool) and type(found) in (int, float):
        raise PydanticKnownError("int_type" if isinstance(found, int) else "float_type")
    return found


def blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _secret(value: object) -> Secret:
    if isinstance(value, str):
        return Secret(value.strip())
    raise values.Unfit("text", "put it in quotes")


def credential(value: object) -> object:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"key": value}
    raise values.Unfit("a key as text, or {key: …, weight: …}", "put it in quotes")


def _decimal(value: object) -> object:
    """YAML has 1.2 as a number."""
    return str(value) if isinstance(value, float) else value


def some(value: object) -> object:
    """One word where a list is usual."""
    return [value] if isinstance(value, str) else value


def ladder(value: object) -> object:
    """`none`, one way, or several in order."""
    if isinstance(value, str):
        return [] if lower(value) == "none" else [lower(value)]
    return value


def _dialects(value: object) -> object:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: surfaces.DIALECTS.get(name, "") for name in value}
    if isinstance(value, dict):
        return {
            name: surfaces.DIALECTS.get(name, "") if path is None else path
            for name, path in value.items()
        }
    raise values.Unfit("a list of dialects, or a mapping of dialects to paths")


def _auth(value: object) -> object:
    """One place for every family, or a mapping, of which each is read by itself."""
    return value if isinstance(value, dict) else dict.fromkeys(surfaces.AUTH, values.auth(value))


def _place(value: object) -> model.Auth:
    return value if isinstance(value, model.Auth) else values.auth(value)


def not_blank(found: list[Secret]) -> list[Secret]:
    return [item for item in found if item.reveal()]


def _after(value: object) -> object:
    if lower(value) == "p95":
        return 0.0
    try:
        return values.limit(value)
    except values.Unfit as unfit:
        raise values.Unfit(f"{unfit.expected}, or p95", unfit.advice) from None


def require(value: object) -> object:
    return None if lower(value) == "auto" else value


_DURATION = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9.]+ ?(ms|s|m|h|d)?$"},
    ]
}
_SIZE = "^[0-9]+ ?([KMGkmg][Ii]?[Bb]|[Bb])?$"
_DIALECT_NAMES = {"enum": list(surfaces.DIALECTS)}
_TARGETS = {"enum": [*surfaces.DIALECTS, surfaces.CONVERSATION]}

Duration = Annotated[float, BeforeValidator(values.seconds), WithJsonSchema(_DURATION)]
Limit = Annotated[float, BeforeValidator(values.limit), WithJsonSchema(_DURATION)]
After = Annotated[
    float,
    PlainValidator(_after),
    WithJsonSchema({"anyOf": [{"const": "p95"}, *_DURATION["anyOf"]]}),
]
Size = Annotated[
    int,
    BeforeValidator(values.size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": _SIZE},
            ]
        }
    ),
]
SpoolSize = Annotated[
    int,
    BeforeValidator(values.spool_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": values.SPOOL},
                {"type": "string", "pattern": _SIZE},
            ]
        }
    ),
]
Workers = Annotated[
    int,
    PlainValidator(values.workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]
Strategy = Annotated[
    model.Strategy,
    PlainValidator(values.strategy),
    WithJsonSchema({"enum": [str(name) for name in model.Strategy]}),
]
KeyStrategy = Annotated[
    model.KeyStrategy,
    PlainValidator(values.key_strategy),
    WithJsonSchema({"enum": [str(name) for name in model.KeyStrategy]}),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(values.network),
    WithJsonSchema({"type": "string"}),
]
Moment = Annotated[
    float,
    PlainValidator(values.moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
]
Hidden = Annotated[Secret, PlainValidator(_secret), WithJsonSchema({"type": "string"})]
Require = Annotated[
    bool | None, BeforeValidator(require), WithJsonSchema({"enum": ["auto", True, False]})
]
Dialects = Annotated[
    dict[str, str],
    BeforeValidator(_dialects),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": _DIALECT_NAMES},
                {
                    "type": "object",
                    "propertyNames": _DIALECT_NAMES,
                    "additionalProperties": {"type": ["string", "null"], "pattern": "^/"},
                },
            ]
        }
    ),
]
_PLACE = {
    "type": "string",
    "pattern": "^(bearer|none|header:.+|query:.+|sigv4:.+|google(:.+)?|entra(:.+)?)$",
}
OnePlace = Annotated[Any, PlainValidator(values.auth), WithJsonSchema(_PLACE)]
"""A `model.Auth`."""
Place = Annotated[
    dict[str, Annotated[Any, PlainValidator(_place)]],  # a model.Auth, which pydantic does not know
    BeforeValidator(_auth),
    WithJsonSchema(
        {
            "anyOf": [
                _PLACE,
                {
                    "type": "object",
                    "propertyNames": {"enum": list(surfaces.AUTH)},
                    "additionalProperties": _PLACE,
                },
            ]
        }
    ),
]
Where = Annotated[
    tuple[str, ...], PlainValidator(values.json_path), WithJsonSchema({"type": "string"})
]
Method = Annotated[Literal["GET", "POST", "PUT"], BeforeValidator(upper)]
TLSVersion = Annotated[
    Literal["1.2", "1.3"],
    BeforeValidator(_decimal),
    WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
]
# A template: any value with `{names}` in its texts. What else it may be is for the provider to say.
Template = Any
Names = list[str]
Prefer = Annotated[
    list[str],
    BeforeValidator(some),
    WithJsonSchema({"type": "array", "items": _TARGETS}),
]
_WAYS = {"enum": ["match", "anchor", "prefill"]}
Ladder = Annotated[
    list[Literal["match", "anchor", "prefill"]],
    BeforeValidator(ladder),
    WithJsonSchema(
        {"anyOf": [{"enum": ["none", *_WAYS["enum"]]}, {"type": "array", "items": _WAYS}]}
    ),
]
Abilities = Annotated[
    list[Literal["prefill"]],
    BeforeValidator(ladder),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", "prefill"]},
                {"type": "array", "items": {"enum": ["prefill"]}},
            ]
        }
    ),
]
Cron = Annotated[str, AfterValidator(values.cron)]
BudgetCron = Annotated[str, AfterValidator(values.budget_cron)]
Zone = Annotated[str, AfterValidator(values.zone)]
LimitOf = Annotated[int, Field(ge=1, le=2**53)] | None
ModelType = Literal["chat", "completion", "embedding", "image", "audio", "rerank"]
Number = Annotated[float, WrapValidator(no_switch)]
"""Inside of a list; a field is guarded by its section."""
MaxTokens = Annotated[int, Field(ge=1, le=2**31 - 1)] | None
# What a parameter may be is for the provider to say.
Params = dict[str, Any]


class Section(BaseModel):
    """A mapping of the file. Unknown names are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        known = cls.model_fields
        return {
            name: value for name, value in data.items() if value is not None or name not in known
        }

    @field_validator("*", mode="wrap")
    @classmethod
    def _is_no_switch(cls, value: object, read: ValidatorFunctionWrapHandler) -> object:
        return no_switch(value, read)


def section(kind: type[Section], description: str = "") -> Any:
    """A section that may be left out."""
    factory: Callable[[], Section] = kind
    return Field(default_factory=factory, description=description or None)


class Named(Section):
    """A mapping whose names are its writer's own; each value is an `ENTRY`."""

    model_config = ConfigDict(extra="allow")

    ENTRY: ClassVar[type[Section]]

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}
