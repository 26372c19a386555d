"""Small requests that show whether a provider is there: its list of models, or one token of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson
from msgspec import Struct

from proxy.core.clock import now
from proxy.core.errors import Cause, UpstreamError
from proxy.core.surfaces import family
from proxy.core.url import join, variant
from proxy.state.checks import Check
from proxy.upstream import presented
from proxy.upstream.sigv4 import Scope, sign

if TYPE_CHECKING:
    from proxy.core.model import Auth, Credential, Deployment, Provider
    from proxy.upstream.connection import Headers
    from proxy.upstream.pool import Upstream

SECONDS = 5.0
"""For a whole answer, connecting included."""

_TAILS: Mapping[str, str] = {
    "openai.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.responses": "/responses",
    "openai.embeddings": "/embeddings",
    "openai.images": "/images",
    "openai.audio": "/audio",
    "openai.moderations": "/moderations",
    "openai.rerank": "/rerank",
    "anthropic.messages": "/messages",
    "gemini.generate": "/models",
}
"""What of a dialect's path is replaced by `/models`. Others have no list where they are spoken."""
DEMANDED: Mapping[str, Mapping[str, str]] = {"anthropic": {"anthropic-version": "2023-06-01"}}
"""Headers that a family demands."""


class Question(Struct, frozen=True):
    """A request. `dialect` decides where the credential goes."""

    method: str
    url: str
    dialect: str
    body: bytes | None = None
    costs: bool = False
    """It is a request as clients make it: what it proves, and what it is refused for, is as of theirs."""


def for_models(provider: Provider) -> Question | None:
    """Its list of models; None: nobody knows where it is."""
    for dialect, root in provider.dialects.items():
        tail = _TAILS.get(dialect)
        if tail is not None and root.endswith(tail) and "{" not in root:
            url = join(provider.base_url, root.removesuffix(tail) + "/models")
            return Question("GET", url, dialect)
    return None


def for_token(deployment: Deployment) -> Question | None:
    """One token of an answer; None: its provider speaks nothing in which there is a way to ask for it."""
    provider, model = deployment.provider, deployment.model
    if "*" in model:
        return None
    for dialect in (*deployment.prefer, *provider.dialects):
        make = _BODIES.get(dialect)
        if make is not None and dialect in provider.dialects:
            suffix, body = make(model)
            quoted = quote(model, safe="" if family(dialect) == "bedrock" else "/-._~:@")
            root = variant(provider.dialects[dialect], streamed=False)
            url = join(provider.base_url, root) + suffix
            return Question(
                "POST", url.replace("{model}", quoted), dialect, orjson.dumps(body), costs=True
            )
    return None


def _chat(model: str) -> tuple[str, Any]:
    return "", {"model": model, "messages": [_USER], "max_tokens": 1}


def _messages(model: str) -> tuple[str, Any]:
    return "", {"model": model, "messages": [_USER], "max_tokens": 1}


def _responses(model: str) -> tuple[str, Any]:
    return "", {"model": model, "input": "hi", "max_output_tokens": 16, "store": False}


def _completions(model: str) -> tuple[str, Any]:
    return "", {"model": model, "prompt": "hi", "max_tokens": 1}


def _embeddings(model: str) -> tuple[str, Any]:
    return "", {"model": model, "input": "hi"}


def _generate(_model: str) -> tuple[str, Any]:
    parts = [{"role": "user", "parts": [{"text": "hi"}]}]
    return "/{model}:generateContent", {
        "contents": parts,
        "generationConfig": {"maxOutputTokens": 1},
    }


def _converse(_model: str) -> tuple[str, Any]:
    return "/{model}/converse", {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "inferenceConfig": {"maxTokens": 1},
    }


_USER = {"role": "user", "content": "hi"}
_BODIES: Mapping[str, Callable[[str], tuple[str, Any]]] = {
    "openai.chat": _chat,
    "openai.completions": _completions,
    "openai.responses": _responses,
    "openai.embeddings": _embeddings,
    "anthropic.messages": _messages,
    "gemini.generate": _generate,
    "bedrock.converse": _converse,
}
"""What follows the dialect's path, and the body. The responses API takes no smaller limit than 16."""


async def ask(
    upstream: Upstream, question: Question, credential: Credential | None
) -> tuple[Check, int]:
    """(what came of it, status or 0)."""
    try:
        await upstream.mint(family(question.dialect), credential, SECONDS)
    except UpstreamError as error:
        return (Check.REFUSED if error.cause is Cause.AUTH else Check.UNKNOWN), 0
    try:
        status, fields, _ = await put(upstream, question, credential)
    except UpstreamError as error:
        if error.cause is Cause.POOL:
            return Check.UNKNOWN, 0  # the connections are busy, and all of them ours
        # A list may be longer than is read of it.
        return (_verdict(error.status) if error.status else Check.FAILED), error.status
    if status == 200 and dict(fields).get(b"content-type", b"").lower().startswith(b"text/html"):
        return Check.FAILED, status
    return _verdict(status), status


async def put(
    upstream: Upstream, question: Question, credential: Credential | None
) -> tuple[int, Headers, bytes]:
    """(status, headers, body) of the answer. What is presented for the credential is there already. Raises UpstreamError."""
    provider, kind = upstream.provider, family(question.dialect)
    auth = presented.place(provider, kind)
    minted = upstream.minted(auth, credential)
    headers = {**DEMANDED.get(kind, {}), **presented.headers(provider, kind, credential, minted)}
    if question.body is not None:
        headers["content-type"] = "application/json"
        if auth.scheme == "sigv4" and minted:
            headers.update(_signature(auth, question, minted))
    return await upstream.ask(
        question.method,
        question.url,
        query=presented.query(provider, kind, credential),
        headers=headers,
        body=question.body,
        connect=SECONDS,
        total=SECONDS,
    )


def _verdict(status: int) -> Check:
    if status < 300:
        return Check.OK
    if status == 429:
        return Check.LIMITED
    if status in (401, 402, 403):
        return Check.REFUSED
    if status == 408 or not 400 <= status < 500:
        return Check.UNKNOWN if status == 501 else Check.FAILED
    return Check.UNKNOWN


def _signature(auth: Auth, question: Question, secret: str) -> Mapping[str, str]:
    place = urlsplit(question.url)
    headers = [("host", place.netloc)]
    body = question.body or b""
    return dict(sign(secret, Scope.parse(auth.name), "POST", place.path, headers, body, now()))
