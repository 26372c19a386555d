"""`GET /admin/presets`: what is known of vendors, for whoever adds a provider."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from proxy.control.admin import intake
from proxy.control.admin.access import Permission
from proxy.control.admin.web import Answer, Route
from proxy.core import surfaces
from proxy.core.config.presets import presets

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.config.presets import Block

_PLACEHOLDER: Final = re.compile(r"\b[A-Z][A-Z_]+\b")
_SHOWN: Final = (
    "note",
    "as_of",
    "sources",
    "unconfirmed",
    "base_url",
    "auth",
    "allow_private",
    "allow_http",
    "fields",
)


async def show(request: Request, _services: Services) -> Answer:
    """All of them, in the order of the presets' file."""
    intake.known(request)
    blocks = await asyncio.to_thread(presets)
    data = [_shown(name, block) for name, block in blocks.items()]
    return Answer({"data": data, "dialects": surfaces.DIALECTS, "usual": surfaces.OPENAI})


def _shown(name: str, block: Block) -> dict[str, Any]:
    dialects = block.get("dialects", surfaces.OPENAI)
    variables = block.get("credential_env", [])
    return {
        "name": name,
        **{field: block.get(field) for field in _SHOWN},
        "dialects": list(dialects),
        "paths": {
            one: path
            for one, path in (dialects.items() if isinstance(dialects, dict) else ())
            if path != surfaces.DIALECTS.get(one)
        },
        "placeholders": list(dict.fromkeys(_PLACEHOLDER.findall(block.get("base_url") or ""))),
        "credential_env": [variables] if isinstance(variables, str) else variables,
        "needs_credential": block.get("auth") != "none",
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/presets",
        Permission.READ,
        show,
        "List the presets a provider can start from.",
        answer={"$ref": "#/components/schemas/presets"},
        tag="providers",
    ),
)
