"""Our HTTP surface: (method, raw path) to the dialect and operation it stands for.

Paths are matched on the raw request target, exactly: no URL is rebuilt from `Host`, nothing is normalised, and
anything that could mean two paths (`//`, `..`, an encoded slash, a backslash, a NUL) is no path of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import force_setattr

from proxy.core.surfaces import MCP


class Body(Enum):
    """What the request carries, and so where the model's name is."""

    NONE = "none"
    JSON = "json"
    FORM = "form"
    JSON_OR_FORM = "json_or_form"
    ANY = "any"
    """Whatever it is, it is not looked into."""


TRANSLATED = frozenset({"chat", "completions", "responses", "messages", "generate", "count_tokens"})
"""Operations that mean the same in every dialect: they reach providers that speak another one."""


class Endpoint(Struct, frozen=True, eq=False):
    """One thing a client can ask for."""

    route: str
    """Canonical template; the label of metrics and logs."""
    method: str
    dialect: str
    operation: str
    suffix: str = ""
    """What follows the dialect's root path at the provider; may hold `{id}` and `{model}`."""
    body: Body = Body.JSON
    model_in_path: bool = False
    stream: bool | None = None
    """Streamed or not by the path itself; None: the body's `stream` says."""
    expects_json: bool = True
    """A 200 must be a JSON object (or an event stream); False: any bytes, audio for example."""
    opaque: bool = False
    """Answers are not looked into, and may be empty."""
    upgrades: bool = False
    """It is a WebSocket."""
    billed: bool = False
    """Its clients look for what was billed, in the words of Cohere."""

    family: str = ""
    """`openai`, `anthropic` or `gemini`, from `dialect`: the shape of errors."""

    def __post_init__(self) -> None:
        # Kept, not worked out when asked: every request asks more than once.
        force_setattr(self, "family", self.dialect.partition(".")[0])


_STATIC: tuple[tuple[Endpoint, tuple[str, ...]], ...] = (
    (
        Endpoint("/v1/chat/completions", "POST", "openai.chat", "chat"),
        ("/v1/chat/completions", "/chat/completions", "/openai/v1/chat/completions"),
    ),
    (
        Endpoint("/v1/completions", "POST", "openai.completions", "completions"),
        ("/v1/completions", "/completions", "/openai/v1/completions"),
    ),
    (
        Endpoint("/v1/responses", "POST", "openai.responses", "responses"),
        ("/v1/responses", "/responses", "/openai/v1/responses", "/openai/responses"),
    ),
    (
        Endpoint("/v1/embeddings", "POST", "openai.embeddings", "embeddings"),
        ("/v1/embeddings", "/embeddings", "/openai/v1/embeddings"),
    ),
    (
        Endpoint("/v1/moderations", "POST", "openai.moderations", "moderations"),
        ("/v1/moderations", "/moderations", "/openai/v1/moderations"),
    ),
    (
        Endpoint("/v1/rerank", "POST", "openai.rerank", "rerank"),
        ("/v1/rerank", "/rerank", "/openai/v1/rerank", "/jina/v1/rerank"),
    ),
    (
        Endpoint("/v1/rerank", "POST", "openai.rerank", "rerank", billed=True),
        ("/v2/rerank", "/cohere/v2/rerank"),
    ),
    (
        Endpoint(
            "/v1/images/generations", "POST", "openai.images", "images", suffix="/generations"
        ),
        ("/v1/images/generations", "/images/generations", "/openai/v1/images/generations"),
    ),
    (
        Endpoint(
            "/v1/images/edits",
            "POST",
            "openai.images",
            "images",
            suffix="/edits",
            body=Body.JSON_OR_FORM,
        ),
        ("/v1/images/edits", "/images/edits", "/openai/v1/images/edits"),
    ),
    (
        Endpoint(
            "/v1/audio/speech",
            "POST",
            "openai.audio",
            "speech",
            suffix="/speech",
            expects_json=False,
        ),
        ("/v1/audio/speech", "/audio/speech", "/openai/v1/audio/speech"),
    ),
    (
        Endpoint(
            "/v1/audio/transcriptions",
            "POST",
            "openai.audio",
            "transcriptions",
            suffix="/transcriptions",
            body=Body.FORM,
            expects_json=False,
        ),
        ("/v1/audio/transcriptions", "/audio/transcriptions", "/openai/v1/audio/transcriptions"),
    ),
    (
        Endpoint(
            "/v1/audio/translations",
            "POST",
            "openai.audio",
            "translations",
            suffix="/translations",
            body=Body.FORM,
            expects_json=False,
        ),
        ("/v1/audio/translations", "/audio/translations", "/openai/v1/audio/translations"),
    ),
    (
        Endpoint("/v1/messages", "POST", "anthropic.messages", "messages"),
        ("/v1/messages", "/messages", "/anthropic/v1/messages"),
    ),
    (
        Endpoint(
            "/v1/messages/count_tokens",
            "POST",
            "anthropic.messages",
            "count_tokens",
            suffix="/count_tokens",
            stream=False,
        ),
        (
            "/v1/messages/count_tokens",
            "/messages/count_tokens",
            "/anthropic/v1/messages/count_tokens",
        ),
    ),
    (
        Endpoint(
            "/v1/realtime",
            "GET",
            "openai.realtime",
            "realtime",
            body=Body.NONE,
            stream=True,
            expects_json=False,
            opaque=True,
            upgrades=True,
        ),
        ("/v1/realtime", "/realtime", "/openai/v1/realtime", "/openai/realtime"),
    ),
    (
        Endpoint("/v1/models", "GET", "openai.chat", "models", body=Body.NONE),
        ("/v1/models", "/models", "/openai/v1/models", "/openai/models"),
    ),
    (
        Endpoint("/v1/models", "GET", "anthropic.messages", "models", body=Body.NONE),
        ("/anthropic/v1/models",),
    ),
    (
        Endpoint("/v1beta/models", "GET", "gemini.generate", "models", body=Body.NONE),
        (
            "/v1beta/models",
            "/v1alpha/models",
            "/gemini/v1beta/models",
            "/gemini/v1alpha/models",
            "/gemini/v1/models",
        ),
    ),
)


def _stored(method: str, suffix: str) -> Endpoint:
    return Endpoint(
        "/v1/responses" + suffix, method, "openai.responses", "stored", suffix, body=Body.NONE
    )


VERBS = {
    "generateContent": "generate",
    "streamGenerateContent": "generate",
    "countTokens": "count_tokens",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}
"""What can be done with a Gemini model, and which operation that is."""


def _gemini(verb: str, *, stream: bool) -> Endpoint:
    return Endpoint(
        f"/v1beta/models/{{model}}:{verb}",
        "POST",
        "gemini.generate",
        VERBS[verb],
        suffix=f"/{{model}}:{verb}",
        model_in_path=True,
        stream=stream,
    )


def _azure(tail: str) -> tuple[str, Endpoint]:
    """The endpoint of `/openai/deployments/{model}<tail>`: the model is in the path, not in the body."""
    static = _TABLE["/v1" + tail]["POST"]
    return tail, Endpoint(
        static.route,
        "POST",
        static.dialect,
        static.operation,
        suffix=static.suffix,
        body=static.body,
        model_in_path=True,
        expects_json=static.expects_json,
    )


_TABLE: dict[str, dict[str, Endpoint]] = {}
for _endpoint, _paths in _STATIC:
    for _path in _paths:
        _TABLE.setdefault(_path, {})[_endpoint.method] = _endpoint

_AZURE = dict(
    _azure(tail)
    for tail in (
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/images/generations",
        "/images/edits",
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
    )
)

_GEMINI: Mapping[str, Endpoint] = {
    verb: _gemini(verb, stream=verb == "streamGenerateContent") for verb in VERBS
}

_STORED: Mapping[tuple[str, str], Endpoint] = {
    ("GET", ""): _stored("GET", "/{id}"),
    ("DELETE", ""): _stored("DELETE", "/{id}"),
    ("POST", "/cancel"): _stored("POST", "/{id}/cancel"),
    ("GET", "/input_items"): _stored("GET", "/{id}/input_items"),
}

_ONE_MODEL = {
    family: Endpoint(route, "GET", dialect, "model", body=Body.NONE, model_in_path=True)
    for family, route, dialect in (
        ("openai", "/v1/models/{model}", "openai.chat"),
        ("anthropic", "/v1/models/{model}", "anthropic.messages"),
        ("gemini", "/v1beta/models/{model}", "gemini.generate"),
    )
}

_OTHERS = {
    method: Endpoint(
        "/v1/{rest}",
        method,
        "openai.other",
        "other",
        "/{id}",
        body=Body.NONE if method in ("GET", "DELETE") else Body.ANY,
        expects_json=False,
        opaque=True,
    )
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
}
_MCP = {
    method: Endpoint(
        "/mcp/{name}",
        method,
        MCP,
        "mcp",
        body=Body.ANY if method == "POST" else Body.NONE,
        expects_json=False,
        opaque=True,
    )
    for method in ("GET", "POST", "DELETE")
}
_MCP_PATH = re.compile(r"/mcp/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/?")
_OTHER_PATH = re.compile(
    r"(?:(?:/openai)?/v1/|/openai/(?!v1/|deployments/))([A-Za-z0-9_.~:@!$&'()*+,=%/-]{1,1024})"
)
_RESPONSE = re.compile(r"(?:/openai)?(?:/v1)?/responses/([A-Za-z0-9_.-]{1,256})(/[a-z_]+)?")
# The shortest name that leaves a tail of ours: one may hold slashes, as they are or encoded (OpenAI's client does that).
_AZURE_PATH = re.compile(rf"/openai/deployments/(.{{1,512}}?)({'|'.join(map(re.escape, _AZURE))})")
# The last colon is the verb's: a model's name may hold others.
_GEMINI_PATH = re.compile(r"(?:/gemini)?/v1(?:beta|alpha)?/models/(.{1,512}):([A-Za-z]+)")
_MODEL_PATH = re.compile(
    r"(/anthropic|/openai|/gemini)?/(v1beta|v1alpha|v1)/models/(.{1,512})|(?:/openai)?/models/(.{1,512})"
)
_AMBIGUOUS = re.compile(r"//|/(?:\.|%2e){1,2}(?:/|$)|%2e%2e|%5c|%00|\\|;", re.IGNORECASE)
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)

Match = tuple[Endpoint, Mapping[str, str]]
_NOTHING: Mapping[str, str] = {}


def match(method: str, path: str) -> Match | None:
    """The endpoint at a raw path without its query, and what its path names (`id`, `model`); None: nothing here.

    A known path asked with another method is None too; `allowed` tells the two apart.
    """
    methods = _TABLE.get(path)
    if methods is not None:
        endpoint = methods.get(method)
        return None if endpoint is None else (endpoint, _NOTHING)
    if _AMBIGUOUS.search(path):
        return None
    return _match_pattern(method, path)


def _match_pattern(method: str, path: str) -> Match | None:
    found = _GEMINI_PATH.fullmatch(path)
    if found and (endpoint := _GEMINI.get(found[2])):
        return (endpoint, {"model": unquote(found[1])}) if method == "POST" else None
    if found := _MODEL_PATH.fullmatch(path):
        if method != "GET":
            return None
        family = "gemini" if found[2] in ("v1beta", "v1alpha") else (found[1] or "/openai")[1:]
        return _ONE_MODEL[family], {"model": unquote(found[3] or found[4])}
    if found := _AZURE_PATH.fullmatch(path):
        return (_AZURE[found[2]], {"model": unquote(found[1])}) if method == "POST" else None
    if _ENCODED_SLASH.search(path):
        return None
    if found := _MCP_PATH.fullmatch(path):
        endpoint = _MCP.get(method)
        return None if endpoint is None else (endpoint, {"name": found[1]})
    if found := _RESPONSE.fullmatch(path):
        endpoint = _STORED.get((method, found[2] or ""))
        return None if endpoint is None else (endpoint, {"id": found[1]})
    return None


def other(method: str, path: str) -> Match | None:
    """The same for a path that is no endpoint of ours: it is passed to a provider that says it takes such (`openai.other`)."""
    endpoint, found = _OTHERS.get(method), _OTHER_PATH.fullmatch(path)
    if endpoint is None or found is None or _AMBIGUOUS.search(path) or _ENCODED_SLASH.search(path):
        return None
    return endpoint, {"id": found[1]}


def is_spelled_out(path: str) -> bool:
    """Whether an endpoint is at this very path: another method there is nobody's. Below a pattern (`/v1/responses/compact`, which
    might be an id) it may be another API's.
    """
    return path in _TABLE


def allowed(path: str) -> list[str]:
    """The methods a path takes; empty when there is nothing at it."""
    methods = _TABLE.get(path)
    if methods is not None:
        return sorted(methods)
    return [method for method in ("DELETE", "GET", "POST") if match(method, path)]


def unknown_verb(method: str, path: str) -> str:
    """What a `POST` to a Gemini model wants done that nobody does here; empty: it is no such request.

    To a `GET` the same path may be a model whose name has a colon.
    """
    found = _GEMINI_PATH.fullmatch(path) if method == "POST" else None
    return found[2] if found is not None and found[2] not in VERBS else ""


def family_of(path: str) -> str:
    """The shape an error at this path takes, even when the path is not ours or cannot be parsed."""
    if path.startswith("/mcp/"):
        return "mcp"
    if "/messages" in path or path.startswith("/anthropic"):
        return "anthropic"
    if path.startswith(("/v1beta", "/v1alpha", "/gemini")) or _GEMINI_PATH.match(path):
        return "gemini"
    return "openai"


def paths() -> list[str]:
    """Every canonical route with its method, for people; and those of Azure, whose deployment is the model."""
    endpoints = [endpoint for endpoint, _ in _STATIC]
    endpoints += [
        *_STORED.values(),
        *_GEMINI.values(),
        *_ONE_MODEL.values(),
        *_OTHERS.values(),
        *_MCP.values(),
    ]
    azure = {f"POST /openai/deployments/{{model}}{tail}" for tail in _AZURE}
    return sorted({f"{endpoint.method} {endpoint.route}" for endpoint in endpoints} | azure)
