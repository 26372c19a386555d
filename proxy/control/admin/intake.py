"""Bodies of objects as edits: what belongs to an object, what is above it, and what a page showed and nobody sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from proxy.control.admin.edits import Called, Create, Delete, Edit, Update
from proxy.control.admin.refusal import wrong
from proxy.control.admin.shapes import PARENT, settable
from proxy.control.admin.web import Problem
from proxy.core.records import PARENTS, Kind, is_id
from proxy.core.redact import MASK

if TYPE_CHECKING:
    from proxy.control.admin.overlay import Overlay
    from proxy.control.admin.web import Request

INSIDE = {
    Kind.PROVIDER: ("credentials", Kind.CREDENTIAL),
    Kind.MODEL: ("deployments", Kind.DEPLOYMENT),
}
"""What may come along with a new object: the field, and what its items are."""
CHILDREN = 1000
"""Of one object in one body."""
T = TypeVar("T", bound=StrEnum)
_SINGLE = '"'


def create(
    kind: Kind, body: Mapping[str, Any], place: str = "", at: int = 0
) -> list[tuple[Edit, str]]:
    """A new object, and what comes along with it; each with its place in the body. `at`: edits before these."""
    fields = settable(body, kind)
    name = _text(fields, "name") if kind not in PARENT else ""
    parent = _text(fields, PARENT[kind]) if kind in PARENT else ""
    inside: list[tuple[Edit, str]] = []
    if kind in INSIDE and fields.get(INSIDE[kind][0]) is not None:
        inside = _inside(kind, fields, place, at)
    if fields.get("key") == MASK:
        raise wrong("key", f"'{MASK}' is no key")
    return [(Create(str(kind), name, fields, parent), place), *inside]


def _inside(kind: Kind, fields: dict[str, Any], place: str, at: int) -> list[tuple[Edit, str]]:
    field, child = INSIDE[kind]
    items = fields.pop(field)
    if not isinstance(items, list) or len(items) > CHILDREN:
        raise wrong(field, f"a list of at most {CHILDREN} is expected")
    found: list[tuple[Edit, str]] = []
    for index, item in enumerate(items):
        if isinstance(item, str) and child is Kind.CREDENTIAL:
            item = {"key": item}
        where = f"{field}[{index}]"
        if not isinstance(item, dict):
            raise wrong(where, "an object is expected")
        edit = Create(str(child), "", settable(item), f"@{at}")
        found.append((edit, f"{place}.{where}" if place else where))
    return found


def update(
    kind: Kind,
    target: str,
    body: Mapping[str, Any],
    seen: Overlay,
    *,
    merge: bool,
    if_match: int | None = None,
) -> Edit:
    """Other fields for an object. It stays where it belongs."""
    fields = settable(body, kind)
    name: str | None = None
    if kind in PARENT:
        _stay(kind, target, _text(fields, PARENT[kind]), seen)
    elif "name" in fields:
        name = _text(fields, "name")
    if fields.get("key") == MASK and kind is Kind.KEY:
        del fields["key"]
    if kind in INSIDE and INSIDE[kind][0] in fields:
        field, child = INSIDE[kind]
        raise wrong(field, f"each is changed by itself, at /admin/{child}s")
    return Update(str(kind), target, fields, merge, if_match, name)


def _stay(kind: Kind, target: str, parent: str, seen: Overlay) -> None:
    above = PARENTS[kind]
    record = seen.get(kind, target)
    if not parent or record is None:
        return
    found = seen.called(above, parent)
    if found is None or found.id != record.parent:
        raise wrong(PARENT[kind], f"a {kind} stays with its {above}: make another one there")


def delete(kind: Kind, item: object, *, cascade: bool) -> Edit:
    """An object away: its id or name, or an object with `id` or `name`, and `revision` to be sure."""
    if isinstance(item, dict):
        return Delete(str(kind), target_of(item), revision_of(item), cascade)
    if isinstance(item, (str, int)) and not isinstance(item, bool):
        return Delete(str(kind), str(item), None, cascade)
    raise wrong("", "an id, a name, or an object with one of them is expected")


def target_of(item: Mapping[str, Any]) -> str:
    """Which object one of a batch is about. Raises Problem 400."""
    for field in ("id", "name"):
        value = item.get(field)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return Called(value) if field == "name" else str(value)
    raise wrong("id", "the id or the name of an object is missing")


def revision_of(item: Mapping[str, Any]) -> int | None:
    """The revision an object of a batch must still have; None where it does not say. Raises Problem 400."""
    revision = item.get("revision")
    if revision is None or (isinstance(revision, int) and not isinstance(revision, bool)):
        return revision
    raise wrong("revision", "a whole number is expected")


def if_match(request: Request) -> int | None:
    """The revision `If-Match` asks for; None without it, and for `*`. Raises Problem 412 for what was never an ETag."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    number, dot, above = text.removeprefix("W/").strip(_SINGLE).partition(".")
    # An ETag is a revision, and an id was one; behind it may be that of what is above, which nothing is changed of.
    if not is_id(number) or (dot and not is_id(above)):
        raise Problem(412, "precondition_failed", "If-Match is no ETag that was given.")
    return int(number)


def switch(request: Request, name: str) -> bool:
    """A parameter that is true or false. Raises Problem 400."""
    value = request.query.get(name, "false")
    if value not in ("true", "false"):
        raise wrong(name, "true or false is expected")
    return value == "true"


def choice(request: Request, name: str, kind: type[T], otherwise: T) -> T:
    """A parameter that is one of a few words. Raises Problem 400."""
    value = request.query.get(name, otherwise)
    try:
        return kind(value)
    except ValueError:
        raise wrong(name, f"one of {', '.join(kind)} is expected") from None


def known(request: Request, *names: str) -> None:
    """That the query says nothing else. Raises Problem 400."""
    for name in request.query:
        if name not in names:
            takes = f"; there are {', '.join(names)}" if names else ""
            raise wrong(name, f"there is no such parameter here{takes}")


def _text(fields: dict[str, Any], name: str) -> str:
    """Taken out of the fields; an id may be a number, a text is rather a name. Empty when it is not there."""
    value = fields.pop(name, None)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name != "name":
        return str(value)
    if not isinstance(value, str):
        raise wrong(name, "text is expected")
    return value if name == "name" else Called(value)


def split(edits: Sequence[tuple[Edit, str]]) -> tuple[list[Edit], list[str]]:
    """Edits and their places apart, as `changes.apply` takes them."""
    return [edit for edit, _ in edits], [place for _, place in edits]
