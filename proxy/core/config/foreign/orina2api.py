"""orina2api: variables, or an `.env` file of them: a pool of tokens for a chat service with conversations.

The wire format of such a service is its own, so it is described by variables of ours beside the others:

    CONVERSATION_BODY     what begins a conversation, JSON                       {}
    CONVERSATION_ID_PATH  where the answer has its id                            id
    TARGET_BODY           what is asked, JSON with names in braces               see BODY
    TARGET_TEXT_PATH      where an event or an answer has its text               see TEXT
    TARGET_DONE_AT_END    true: no event is the last, the end of the body is     false
    REFERER               the header of the question                             none
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from proxy.core.config.foreign import access, common, vendors
from proxy.core.config.foreign.source import Given, Said, spread, usual
from proxy.core.config.problem import sentence

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "orina2api"
PORT = 3333
MARKS = frozenset(
    (
        "API_KEYS",
        "REQUIRE_API_KEY",
        "TARGET_API_URL",
        "CONVERSATION_API_URL",
        "PROJECT_API_URL",
        "MESSAGE_API_URL",
        "TOKEN_POOL",
        "AVAILABLE_MODELS",
        "RETRY_DELAY",
        "MAX_RETRIES",
    )
)
FORMAT = (
    "CONVERSATION_BODY",
    "CONVERSATION_ID_PATH",
    "TARGET_BODY",
    "TARGET_TEXT_PATH",
    "TARGET_DONE_AT_END",
    "REFERER",
)
VARIABLES = MARKS | set(FORMAT) | {"APP_NAME", "DEBUG", "HOST", "PORT", "TIMEOUT"} | access.OURS
PROVIDER = "pool"
BODY = {
    "conversation_id": "{conversation_id}",
    "message_id": "{message_id}",
    "model": "{model}",
    "message": "{messages}",
    "stream": "{stream}",
}
TEXT = ["text", "content", "message.content", "choices[0].delta.content"]
_QUERY = "in a file of ours, a query is query: {name: value} of the provider"
_ADVICE = "name your own chat service; there is no usual one here"


def translate(sheet: Sheet, env: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    given = Given(sheet, env)
    listeners = access.sections(
        sheet,
        host=given.text("HOST"),
        port=given.whole("PORT", PORT) or usual(PORT),
        ours=given,
    )
    debug = given.switch("DEBUG")
    delay = given.number("RETRY_DELAY", 1)
    require = given.switch("REQUIRE_API_KEY", True)
    provider = _provider(sheet, given)
    models = _listed(sheet, given, "AVAILABLE_MODELS")
    content = {
        **listeners,
        "auth": {"require": require},
        "defaults": {
            "strategy": usual("least_used"),
            "timeouts": common.timeouts(given.number("TIMEOUT", 30, least=0.001)),
            "retry": {
                "count": given.whole("MAX_RETRIES", 3),
                "base": delay,
                "cap": delay if delay is not None and delay.value > 2 else None,
            },
        },
        "logging": {"level": debug.as_("debug") if debug is not None and debug.value else None},
        "providers": {PROVIDER: provider},
        "models": {
            str(one.value): {"deployments": [{"provider": PROVIDER, "model": one}]}
            for one in models
        },
        "keys": [
            {"name": f"api-key-{number}", "key": key}
            for number, key in enumerate(_listed(sheet, given, "API_KEYS"), 1)
        ],
    }
    content["server"] = {**listeners["server"], "name": given.text("APP_NAME")}
    for name in ("PROJECT_API_URL", "MESSAGE_API_URL"):
        given.leave(name, "not called: a conversation is begun, and asked, and that is all")
    given.done(sorted(VARIABLES))
    return content


def _provider(sheet: Sheet, given: Given) -> dict[str, Any]:
    tokens = _listed(sheet, given, "TOKEN_POOL")
    target, create = given.text("TARGET_API_URL"), given.text("CONVERSATION_API_URL")
    for name, url in (("TARGET_API_URL", target), ("CONVERSATION_API_URL", create)):
        if url is None:
            given.missing(name, "the address of the chat service", _ADVICE)
    split = None if target is None else _split(sheet, target)
    begins = None if create is None else _split(sheet, create)
    if target is None or create is None or split is None or begins is None:
        return {"base_url": usual("https://unknown.invalid")}
    (place, path), (other, begun) = split, begins
    if place.casefold() != other.casefold():
        sheet.error(
            create.origin, sentence("an address on the host of TARGET_API_URL", "another host")
        )
    return {
        "base_url": target.as_(place),
        "credentials": tokens,
        **vendors.allowances(place),
        "conversation": {
            "create": {
                "path": create.as_(begun),
                "body": _body(sheet, given, "CONVERSATION_BODY", {}),
                "id_path": given.text("CONVERSATION_ID_PATH", "id"),
            },
            "path": target.as_(path),
            "body": _body(sheet, given, "TARGET_BODY", BODY),
            "referer": given.text("REFERER"),
            "text_path": _listed(sheet, given, "TARGET_TEXT_PATH")
            or [usual(path) for path in TEXT],
            "done_at_end": given.switch("TARGET_DONE_AT_END"),
        },
    }


def _split(sheet: Sheet, said: Said) -> tuple[str, str] | None:
    """An address as the host and the path; None where it is not one that is called as it was written."""
    try:
        parts = urlsplit(str(said.value))
    except ValueError:
        expected = "a URL such as https://chat.example.com/chat"
        sheet.error(said.origin, sentence(expected, "something else", "check host and port"))
        return None
    if parts.query or parts.fragment:
        sheet.error(said.origin, sentence("a URL without '?' and '#'", "one of them", _QUERY))
        return None
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/"


def _body(sheet: Sheet, given: Given, name: str, usually: dict[str, Any]) -> Any:
    said = given.text(name)
    if said is None:
        return usually or None
    try:
        return spread(msgspec.json.decode(str(said.value)), said)
    except msgspec.DecodeError:
        sheet.error(said.origin, sentence("JSON", "something else"))
        return None


def _listed(sheet: Sheet, given: Given, name: str) -> list[Said]:
    """A JSON list of texts; text with commas is one too."""
    said = given.text(name)
    if said is None:
        return []
    text = str(said.value)
    if not text.startswith("["):
        return [said.as_(part.strip()) for part in text.split(",") if part.strip()]
    try:
        found = msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        sheet.error(said.origin, sentence('a JSON list such as ["one", "two"]', "something else"))
        return []
    return [said.as_(part.strip()) for part in found if part.strip()]
