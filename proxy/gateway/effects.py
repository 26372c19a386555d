"""Whether a provider that is asked this does nothing but answer: then two may be asked at once, and one answer may do for two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange

_EFFECTS = (
    "background",
    "container",
    "conversation",
    "mcp_servers",
    "plugins",
    "store",
    "web_search_options",
)
"""Fields by which a provider does more than to answer, or answers by more than the request, where they are not off."""
_OFF = frozenset({None, b"null", b"false", b"[]", b'""'})
"""An empty object is not: options that are all left out are as the vendor chooses."""
_CLIENTS = frozenset({None, "function", "custom"})
"""Types of tools that the client runs. What a vendor runs itself finds something else tomorrow."""
_FUNCTIONS = frozenset({"functionDeclarations", "function_declarations"})
"""Under which Google lists the functions of the client; its own tools have other names."""


def none(exchange: Exchange) -> bool:
    """It does no more than to answer. What cannot be read does more."""
    envelope = exchange.envelope
    if envelope is None:
        return False
    if any(envelope.raw(name) not in _OFF for name in _EFFECTS):
        return False
    if exchange.endpoint.operation == "responses" and envelope.raw("store") != b"false":
        return False  # there, what is not told otherwise is kept
    tools = envelope.raw("tools")
    if tools is None or tools in _OFF:
        return True
    try:
        return _are_clients(orjson.loads(tools))
    except orjson.JSONDecodeError:  # it has a number beyond any double
        return False


def _are_clients(tools: Any) -> bool:
    return isinstance(tools, list) and all(map(_is_clients, tools))


def _is_clients(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False
    if "type" in tool or "name" in tool:
        return tool.get("type") in _CLIENTS
    return tool.keys() <= _FUNCTIONS
