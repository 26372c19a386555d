"""Which route a request is for: paths as they came, compared segment by segment.

Nothing is normalised: `/admin//models` and `/admin/./models` are no paths of ours. What a template names is decoded
once, and what it then holds (`../`, a slash) is a name to look up and never a path. Where several templates fit, the
one with the earlier fixed word wins: `/admin/models/batch` before `/admin/models/{id:path}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from proxy.control.admin.web import Route

_NAMED = re.compile(r"\{(?P<name>[a-z_]+)(?P<path>:path)?\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIXED, _ONE, _MANY = range(3)

Params = Mapping[str, str]


class Template:
    """One path of one route."""

    __slots__ = ("_pattern", "rank", "route", "shape")

    def __init__(self, path: str, route: Route) -> None:
        self.route = route
        self.shape = _NAMED.sub(lambda name: "{:path}" if name["path"] else "{}", path)
        """The path without the names in it: what may exist once for a method."""
        self.rank = tuple(map(_rank, path.split("/")))
        pieces: list[str] = []
        end = 0
        for name in _NAMED.finditer(path):
            pieces.append(re.escape(path[end : name.start()]))
            pieces.append(f"(?P<{name['name']}>{'.+' if name['path'] else '[^/]+'})")
            end = name.end()
        self._pattern = re.compile("".join((*pieces, re.escape(path[end:]))))

    def fits(self, path: str) -> Params | None:
        """What the path gives for the template's names; None when it is another path."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        values = {name: _decoded(value) for name, value in found.groupdict().items()}
        if None in values.values():
            return None
        return {name: value for name, value in values.items() if value is not None}


class Table:
    """All routes. Raises ValueError when two have the same method and path, or one has no permission."""

    __slots__ = ("_fixed", "_templates")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: dict[str, list[Template]] = {}
        taken: set[tuple[str, str]] = set()
        for route in routes:
            if not route.permission:
                raise ValueError(f"{route.method} {route.path} has no permission")
            for path in (route.path, *route.aliases):
                template = Template(path, route)
                key = (route.method, template.shape)
                if key in taken:
                    raise ValueError(f"{route.method} {path} is there twice")
                taken.add(key)
                if _NAMED.search(path):
                    self._templates.setdefault(route.method, []).append(template)
                else:
                    self._fixed.setdefault(path, {})[route.method] = route
        for templates in self._templates.values():
            templates.sort(key=lambda template: template.rank)

    def find(self, method: str, path: str) -> tuple[Route, Params] | None:
        """The route for a request, and what its path names. HEAD is served by GET."""
        method = "GET" if method == "HEAD" else method
        route = self._fixed.get(path, {}).get(method)
        if route is not None:
            return route, {}
        for template in self._templates.get(method, ()):
            params = template.fits(path)
            if params is not None:
                return template.route, params
        return None

    def methods(self, path: str) -> list[str]:
        """What the path takes; empty when there is nothing at it."""
        found = set(self._fixed.get(path, ()))
        for method, templates in self._templates.items():
            if any(template.fits(path) is not None for template in templates):
                found.add(method)
        if "GET" in found:
            found.add("HEAD")
        return sorted(found)


def _rank(segment: str) -> int:
    if not _NAMED.search(segment):
        return _FIXED
    return _MANY if ":path}" in segment else _ONE


def _decoded(value: str) -> str | None:
    """Percent-decoded once; None for what is no text or holds control characters."""
    try:
        text = unquote_to_bytes(value).decode()
    except ValueError:
        return None
    return None if _CONTROL.search(text) else text
