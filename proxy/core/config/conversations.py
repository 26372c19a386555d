"""What is wrong with a `conversation`: paths that are none, gaps in templates that nothing fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.core import template
from proxy.core.config import address
from proxy.core.config.problem import Fault, Path, printable, suggestion

_HEAD = ("conversation_id", "message_id", "model")
_BODY = (*_HEAD, "prompt", "system", "messages", "stream")
_CREATE = ("message_id", "model")

GAPS: Mapping[Path, tuple[str, ...]] = {
    ("path",): ("conversation_id", "model"),
    ("body",): _BODY,
    ("referer",): _HEAD,
    ("headers",): _HEAD,
    ("create", "path"): ("model",),
    ("create", "body"): _CREATE,
    ("create", "headers"): _CREATE,
}
"""Every template to the names that mean something in it."""

_QUESTION = {"prompt", "messages"}


def faults(block: dict[str, Any]) -> Iterator[Fault]:
    """Everything that is wrong with one. A value of the wrong kind is the schema's to refuse."""
    for where, names in GAPS.items():
        value = _at(block, where)
        wrong = [
            fault for path, item in _leaves(where, value) for fault in _gaps(path, item, names)
        ]
        yield from wrong
        is_path = where[-1] == "path" and isinstance(value, str)
        if is_path and not wrong and not address.is_root(value, names):
            yield Fault(where, "a path such as /api/chat", "another text")
    body = block.get("body")
    if body is not None and not _QUESTION & set(template.gaps(body)):
        advice = "write {prompt}, the last question, or {messages}, the whole conversation"
        yield Fault(("body",), "a place for the question", "none", advice)
    referer = block.get("referer")
    if isinstance(referer, str) and referer and not referer.startswith(("https://", "http://")):
        yield Fault(("referer",), "a URL", "text that is none", "write https://…")
    if block.get("done") is not None and block.get("done_at_end") in (True, "true"):
        yield Fault(("done_at_end",), "done or done_at_end", "both", "remove one")


def _gaps(path: Path, item: Any, names: tuple[str, ...]) -> Iterator[Fault]:
    if isinstance(item, dict):
        (name,) = item
        shown = "{" + name + "}"
        yield Fault(path, "text", "a mapping", f'put it in quotes: "{shown}"')
        return
    for name in template.gaps(item):
        if name not in names:
            known = [f"{{{one}}}" for one in names]
            advice = suggestion(f"{{{name}}}", known)
            yield Fault(path, "a name that stands for something", repr(printable(name)), advice)


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every text of a template, and every `{name: null}`: what YAML makes of a gap without quotes."""
    if isinstance(value, dict):
        if len(value) == 1 and path[-1] != "headers":
            ((name, item),) = value.items()
            if item is None and name in _BODY:
                yield path, value
                return
        for name, item in value.items():
            yield from _leaves((*path, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves((*path, index), item)
    elif isinstance(value, str):
        yield path, value


def _at(block: Any, where: Path) -> Any:
    for name in where:
        block = block.get(name) if isinstance(block, dict) else None
    return block
