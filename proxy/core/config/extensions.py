"""Hooks: code of the installation's own, named in the configuration, and had before the configuration is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from proxy.core.config.fields import Duration, Limit, Names, Params, Section, lower, section, some
from proxy.core.config.problem import Path, printable, sentence
from proxy.core.redact import MASK
from proxy.hooks import finding
from proxy.hooks.points import Point

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path as FilePath

    from proxy.core.config.document import Document
    from proxy.core.config.problem import Problem

_SPEC = finding.Spec("")
_MANY = 64


class Hold(Section):
    """How much of an answer's text a hook may hold back."""

    characters: int = Field(
        default=_SPEC.characters, description="Of one block of text.", ge=0, le=100_000
    )
    time: Duration = Field(default=_SPEC.seconds, description="How long.")


class Hook(Section):
    """Code of the installation's own, called at points of a request's way."""

    name: str = Field(
        description="Its name in metrics and logs.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    enabled: bool = Field(default=True, description="false leaves it out.")
    use: str | None = Field(
        default=None,
        description="An entry point of headrace.hooks, or module:attribute; null: the entry point of its name.",
    )
    options: Params = Field(default_factory=dict, description="What it is made with.")
    points: Annotated[
        list[Literal["before_route", "before_attempt", "after_response", "screen", "on_end"]],
        BeforeValidator(some),
    ] = Field(
        default_factory=list, description="Where it is called; empty: wherever it has a method."
    )
    models: Annotated[Names, BeforeValidator(some)] = Field(
        default=["*"], description="Names clients ask for, or beginnings of names followed by *."
    )
    timeout: Limit = Field(default=_SPEC.timeout, description="For one call.")
    on_error: Annotated[Literal["open", "closed"], BeforeValidator(lower)] = Field(
        default="closed",
        description="When it fails or takes too long: open goes on without it, closed refuses the request.",
    )
    hold: Hold = section(Hold, "How much of an answer's text it may hold back.")


def specs(hooks: Iterable[Hook]) -> list[finding.Spec]:
    """What hooks are made from."""
    return [
        finding.Spec(
            hook.name,
            hook.use or "",
            hook.options,
            tuple(map(Point, hook.points)),
            tuple(hook.models),
            hook.timeout,
            hook.on_error == "open",
            hook.hold.characters,
            hook.hold.time,
        )
        for hook in hooks
        if hook.enabled
    ]


def problems(
    hooks: Sequence[Hook], document: Document, folder: FilePath, hidden: Iterable[str]
) -> Iterator[Problem]:
    """What is wrong with them beyond the kinds of their values: each is made, or it is said why not.

    Modules are looked for in `folder` too, after all other places. What is `hidden` is not shown.
    """
    finding.look_in(str(folder.absolute()))
    names: set[str] = set()
    for index, hook in enumerate(hooks):
        path: Path = ("hooks", index)
        if hook.name in names:
            message = sentence(
                "a name for each hook", repr(hook.name), "name one of them otherwise"
            )
            yield document.problem((*path, "name"), message)
        names.add(hook.name)
        if len(names) > _MANY:
            yield document.problem(path, sentence(f"at most {_MANY} hooks", "more"))
            return
        for spec in specs([hook]):
            try:
                finding.made(spec)
            except finding.Unusable as error:
                found = printable(error.found, 400)
                for secret in hidden:
                    found = found.replace(secret, MASK)
                where = error.where if error.where in hook.model_fields_set else "name"
                message = sentence(error.expected, found, error.advice)
                yield document.problem((*path, where), message)
