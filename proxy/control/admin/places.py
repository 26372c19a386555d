"""`GET /admin/config/file`: which file the configuration is read from, and on which line of it each object stands.

Lines are those of the file as it is now, found by its outline alone: no reference is resolved and no value is looked at.
Of a configuration of another program, or one of more than LIMIT bytes, only the path is known.
"""

from __future__ import annotations

import asyncio
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from proxy.control.admin import infile, intake
from proxy.control.admin.access import Permission
from proxy.control.admin.web import Answer, Route
from proxy.core.config.document import Document, compose
from proxy.core.config.problem import ConfigError
from proxy.core.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.control.admin.infile import FileObject
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.config.problem import Path
    from proxy.core.config.schema import Config

LIMIT = 1024 * 1024
SECTIONS = {Kind.PROVIDER: "providers", Kind.MODEL: "models"}
"""Of the file, by what is in them under its name."""


async def file(request: Request, services: Services) -> Answer:
    """The path, null where there is none, and the lines by kind and id of the objects."""
    intake.known(request)
    path = services.sync.path
    found: dict[str, dict[str, int]] = {}
    if path:
        found = await asyncio.to_thread(lines, FilePath(path), services.sync.config)
    return Answer({"path": path or None, "lines": found})


def lines(path: FilePath, config: Config) -> dict[str, dict[str, int]]:
    """Kind to id to line (from 1) of the objects of `config` that stand in the file; of sections under `section`."""
    try:
        if path.stat().st_size > LIMIT:
            return {}
        document = compose(path.read_text("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError, ConfigError):
        return {}
    found: dict[str, dict[str, int]] = {"section": {}}
    for name in sorted(config.model_fields_set):
        if line := document.line((name,)):
            found["section"][name] = line
    for kind in (
        Kind.PROVIDER,
        Kind.MODEL,
        Kind.CREDENTIAL,
        Kind.DEPLOYMENT,
        Kind.KEY,
        Kind.SETTING,
    ):
        found[str(kind)] = dict(_found(document, kind, config))
    return found


def _found(document: Document, kind: Kind, config: Config) -> Iterator[tuple[str, int]]:
    for number, one in enumerate(infile.objects(config, kind)):
        if line := document.line(_path(one, number)):
            yield one.id, line


def _path(one: FileObject, number: int) -> Path:
    match one.kind:
        case Kind.PROVIDER | Kind.MODEL:
            return (SECTIONS[Kind(one.kind)], one.name)
        case Kind.CREDENTIAL:
            return ("providers", one.parent, "credentials", int(one.id.rpartition("#")[2]))
        case Kind.DEPLOYMENT:
            index = one.id.removeprefix(f"{one.parent}/").partition(":")[0]
            return ("models", one.parent, "deployments", int(index))
        case Kind.KEY:
            return ("keys", number)
        case _:
            return (one.name,)


_LINES = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": ["string", "null"]},
        "lines": {"type": "object", "additionalProperties": _LINES},
    },
}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/config/file",
        Permission.CONFIGURE,
        file,
        "The configuration file, and where in it each object stands",
        answer=_ANSWER,
        tag="config",
    ),
)
