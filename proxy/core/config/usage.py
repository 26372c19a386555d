"""Limits, prices, and how what was used is written down: the sections of the file about them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from proxy.core import model
from proxy.core.config import values
from proxy.core.config.fields import (
    BudgetCron,
    Cron,
    Duration,
    Hidden,
    Limit,
    LimitOf,
    Named,
    Section,
    SpoolSize,
    Zone,
    blank_is_none,
    lower,
    section,
)

_LEDGER = model.Ledger()
_QUOTA = model.Quota()
_SHARED = model.Shared()


# --- limits ---


class Quota(Section):
    """What may be used until a clock strikes."""

    requests: LimitOf = Field(default=None, description="Requests.")
    tokens: LimitOf = Field(default=None, description="Tokens.")
    cron: Cron = Field(
        default=_QUOTA.cron,
        description="When it begins anew: minute, hour, day of month, month, day of week.",
    )
    tz: Zone = Field(default=_QUOTA.tz, description="Time zone of cron: UTC, Europe/Berlin.")


class Budget(Section):
    """What may be spent in a period."""

    usd: float = Field(description="US dollars.", gt=0, le=1e9)
    period: Annotated[Literal["day", "week", "month", "total"], BeforeValidator(lower)] = Field(
        default="month", description="day, week, month, or total: for all time."
    )
    cron: BudgetCron | None = Field(
        default=None,
        description="Instead of a period: when it begins anew, on a quarter of an hour.",
    )
    tz: Zone = Field(default="UTC", description="Time zone of the period: UTC, Europe/Berlin.")
    strict: bool = Field(
        default=False,
        description="true: nothing is begun that could end beyond it, and nothing at all while nobody knows "
        "what was spent.",
    )


class Limits(Section):
    """What may be taken, all together."""

    rpm: LimitOf = Field(default=None, description="Requests a minute.")
    tpm: LimitOf = Field(default=None, description="Tokens a minute.")
    concurrency: LimitOf = Field(default=None, description="Requests at once.")
    burst: LimitOf = Field(
        default=None, description="Requests that may come in one instant; usually a tenth of rpm."
    )
    budget: Budget | None = Field(default=None, description="What may be spent.")


class Teams(Named):
    """Limits of teams: of all the keys that say this team, together."""

    ENTRY: ClassVar[type[Section]] = Limits
    __pydantic_extra__: dict[str, Limits]

    def entries(self) -> dict[str, Limits]:
        """Team to what it may take."""
        return self.__pydantic_extra__


# --- prices ---

_Tokens = Annotated[float, Field(ge=0, le=1e6)] | None
_Each = Annotated[float, Field(ge=0, le=1e6)] | None


class Above(Section):
    """Prices of a request whose prompt is long. What is left out is as for a short one."""

    input: _Tokens = Field(default=None, description="Tokens of the prompt.")
    cached: _Tokens = Field(default=None, description="Of these, read from a cache.")
    cache_write: _Tokens = Field(default=None, description="Of these, written to a cache.")
    cache_write_1h: _Tokens = Field(
        default=None, description="Of these, written to one that keeps them for an hour."
    )
    output: _Tokens = Field(default=None, description="Tokens of the answer.")
    reasoning: _Tokens = Field(default=None, description="Of these, thoughts.")
    audio_input: _Tokens = Field(default=None, description="Of the prompt, audio.")
    audio_output: _Tokens = Field(default=None, description="Of the answer, audio.")
    image: _Each = Field(default=None, description="US dollars for an image that was made.")
    second: _Each = Field(default=None, description="US dollars for a second of audio.")
    request: _Each = Field(default=None, description="US dollars for a request.")


class Price(Section):
    """What a provider charges: US dollars for a million tokens, and for each of what is no token."""

    input: _Tokens = Field(default=None, description="Tokens of the prompt. Usually 0.")
    cached: _Tokens = Field(
        default=None, description="Of these, read from a cache. Usually as input."
    )
    cache_write: _Tokens = Field(
        default=None, description="Of these, written to a cache. Usually as input."
    )
    cache_write_1h: _Tokens = Field(
        default=None,
        description="Of these, written to one that keeps them for an hour. Usually as cache_write.",
    )
    output: _Tokens = Field(default=None, description="Tokens of the answer. Usually 0.")
    reasoning: _Tokens = Field(default=None, description="Of these, thoughts. Usually as output.")
    audio_input: _Tokens = Field(
        default=None, description="Of the prompt, audio. Usually as input."
    )
    audio_output: _Tokens = Field(
        default=None, description="Of the answer, audio. Usually as output."
    )
    character: _Tokens = Field(
        default=None, description="Characters of what is read aloud, for a million. Usually 0."
    )
    image: _Each = Field(
        default=None, description="US dollars for an image that was made. Usually 0."
    )
    second: _Each = Field(default=None, description="US dollars for a second of audio. Usually 0.")
    request: _Each = Field(default=None, description="US dollars for a request. Usually 0.")
    above: dict[Annotated[int, Field(ge=1, le=2**53)], Above] = Field(
        default_factory=dict,
        description="Tokens of the prompt, and what holds for all of a request with more.",
    )


class Prices(Named):
    """Prices by the name a model has at its provider, or a beginning of it followed by *."""

    ENTRY: ClassVar[type[Section]] = Price
    __pydantic_extra__: dict[str, Price]

    def entries(self) -> dict[str, Price]:
        """Name to price."""
        return self.__pydantic_extra__


def _refuse_is_none(value: object) -> object:
    if isinstance(value, str):
        if value.strip().casefold() == "refuse":
            return None
        raise values.Unfit("refuse, or a price such as {input: 1, output: 5}")
    return value


def _or_refuse(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"const": "refuse"}, *schema["anyOf"]]
    schema["default"] = "refuse"


PriceUnknown = Annotated[
    Price | None, BeforeValidator(_refuse_is_none), Field(json_schema_extra=_or_refuse)
]


# --- what was used ---


class Keep(Section):
    """How long the database keeps it."""

    requests: Limit = Field(
        default=_LEDGER.keep_requests, description="A row for each request and attempt."
    )
    content: Limit = Field(
        default=_LEDGER.keep_content, description="What was asked and answered, where it is kept."
    )
    statistics: Limit = Field(default=_LEDGER.keep_statistics, description="Sums.")


class Ledger(Section):
    """How what was used is written down."""

    path: str | None = Field(
        default=None,
        description="Folder of what waits for the database. Usually ledger beside the SQLite file, else data/ledger.",
    )
    size: SpoolSize = Field(
        default=_LEDGER.size,
        description="Of all that waits, at most; 64MiB at least, and 16MiB for each worker.",
    )
    sync: Limit = Field(
        default=_LEDGER.sync,
        description="Until a record is safe from a loss of power; from a killed process it is at once.",
    )
    on_full: Annotated[Literal["auto", "serve", "refuse"], BeforeValidator(lower)] = Field(
        default="auto",
        description="When there is no room: serve, and count what is not recorded; refuse; "
        "auto: refuse keys with a strict budget.",
    )
    client_gone: Annotated[Literal["cancel", "estimate", "drain"], BeforeValidator(lower)] = Field(
        default="estimate",
        description="When a client leaves: cancel, and charge what the provider reported; estimate what was used; "
        "or drain: read on to learn it.",
    )
    drain_seconds: Duration = Field(
        default=_LEDGER.drain_seconds, description="How long is read on at most."
    )
    drain_tokens: int = Field(
        default=_LEDGER.drain_tokens, description="How much is read on at most.", ge=0, le=2**31 - 1
    )
    failed: Annotated[Literal["free", "estimate"], BeforeValidator(lower)] = Field(
        default="free", description="What a failed answer costs whose provider reported nothing."
    )
    keep: Keep = section(Keep)


class Shared(Section):
    """Limits that several hosts hold together."""

    url: Annotated[Hidden | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="redis://:password@host:6379/0, or rediss, valkey, unix."
    )
    prefix: str = Field(
        default=_SHARED.prefix, description="Of the names of what is kept there.", min_length=1
    )
    timeout: Limit = Field(default=_SHARED.timeout, description="For one operation there.")
