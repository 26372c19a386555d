"""Exchanges as a client's bytes make them: parsed by aiohttp, answered into a wire."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

from proxy.core.metrics import Metrics
from proxy.core.model import Credential, Deployment, Model, Provider, Retry, Snapshot
from proxy.core.secret import Secret
from proxy.core.surfaces import DIALECTS
from proxy.core.virtual_key import Pepper
from proxy.gateway.endpoints import Body, match
from proxy.gateway.exchange import Exchange
from proxy.state.live import Live
from proxy.state.state import State
from proxy.wire import multipart
from proxy.wire.envelope import Envelope
from tests.upstream.wires import Wire

CHAT = "/v1/chat/completions"
NO_PAUSE = Retry(base=0.0, cap=0.0)
PEPPER = Pepper("tests", b"p" * 32)


def raw(
    method: str, target: str, body: bytes = b"", *fields: str, version: str = "HTTP/1.1"
) -> bytes:
    """A request's bytes. `fields` are lines of its head."""
    lines = [f"{method} {target} {version}", "Host: localhost", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
        if not any(field.lower().startswith("content-type:") for field in fields):
            lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Peer(BaseProtocol):
    """Where a request looks for its connection, as far as it has to be one."""

    ssl_context = None
    peername = None
    sockname = None


class Feed:
    """A request whose body may still be on its way: `data` brings more of it, `spoil` says that it is broken."""

    def __init__(self, head: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.wire = Wire()
        self._protocol = Peer(loop)
        self._protocol.connection_made(self.wire)
        self._parser = HttpRequestParser(
            self._protocol,
            loop,
            64 * 1024,
            max_line_size=8190,
            max_field_size=8190,
            max_headers=100,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )
        messages, _, _ = self._parser.feed_data(head)
        message, self.payload = messages[0]
        none = cast("Any", None)
        peer = cast("Any", self._protocol)
        self.request = BaseRequest(message, self.payload, peer, none, none, loop)

    def data(self, more: bytes) -> None:
        self._parser.feed_data(more)

    def spoil(self) -> None:
        self.payload.set_exception(RequestPayloadError("broken"))


def exchange(data: bytes) -> Exchange:
    """The exchange a whole request begins, its body read as the pipeline reads it."""
    feed = Feed(data)
    request = feed.request
    path, _, query = request.raw_path.partition("?")
    found = match(request.method, path)
    assert found is not None, f"no endpoint at {path}"
    endpoint, params = found
    one = Exchange(request, feed.wire, endpoint, params, query, 0.0)
    one.body = feed.payload.read_nowait() if endpoint.body is not Body.NONE else b""
    kind = request.headers.get("Content-Type", "")
    if "form-data" in kind:
        one.form = multipart.Form.parse(one.body, kind)
        one.model = one.model or one.form.text("model") or ""
    elif one.body:
        one.envelope = Envelope.parse(one.body)
        one.model = one.model or one.envelope.text("model") or ""
        one.stream = one.stream or one.envelope.flag("stream")
    return one


def written(one: Exchange) -> bytes:
    """What has been written to the exchange's client."""
    assert isinstance(one.transport, Wire)
    return one.transport.written


def provider(url: str = "http://provider.test", name: str = "p", **fields: Any) -> Provider:
    """A provider of everything, with one credential."""
    fields.setdefault("dialects", DIALECTS)
    fields.setdefault("credentials", (Credential(f"{name}#0", Secret("upstream-secret")),))
    fields.setdefault("allow_private", True)
    return Provider(name, url, **fields)


def snapshot(
    *providers: Provider,
    name: str = "m",
    upstream_model: str = "up",
    retry: Retry = NO_PAUSE,
    **deployment: Any,
) -> Snapshot:
    """One model, served by these providers, the first one first."""
    tiers = tuple(
        (Deployment(f"{name}/{at}:{one.name}", one, upstream_model, retry=retry, **deployment),)
        for at, one in enumerate(providers)
    )
    return Snapshot(
        providers={one.name: one for one in providers},
        models={name: Model(name, tiers, retry=retry)},
        peppers=(PEPPER,),
    )


def state(snapshot: Snapshot) -> State:
    """A worker's state that knows the names in `snapshot`."""
    one = State(snapshot, Live(snapshot), Metrics())
    one.metrics.allow(snapshot.models, snapshot.providers, one.live.deployments)
    return one
