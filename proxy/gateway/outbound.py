"""What a provider receives: the client's request, different only where configuration says so.

Those places are the model's name, `param_defaults` and `param_overrides`, the credential, and `stream_options`
where usage is asked for on the client's behalf. When none of them applies the body goes out as the bytes that came.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson

from proxy.core.clock import now
from proxy.core.errors import ProxyError
from proxy.core.model import Auth, Credential, Provider
from proxy.core.surfaces import MCP
from proxy.core.url import join, variant
from proxy.gateway import forms, sockets
from proxy.upstream import presented
from proxy.upstream.sigv4 import Scope, sign
from proxy.wire import multipart
from proxy.wire.envelope import Envelope
from proxy.wire.fitting import fit
from proxy.wire.headers import Headers, arguments, to_upstream

if TYPE_CHECKING:
    from proxy.gateway.deadline import Deadline
    from proxy.gateway.endpoints import Endpoint
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.plan import Candidate
    from proxy.gateway.translation import Translation
    from proxy.upstream.pool import Upstream

_OURS = frozenset({"key", "api_key", "api-version"})
"""Query parameters that are between the client and us."""
_MAX_FIXED = 4096
_VERSION = b"anthropic-version"
_BRING = frozenset({"PATCH", "POST", "PUT"})
"""Methods whose requests have a body, if only one of nothing: some servers ask for its length (RFC 9110, 8.6)."""
_CONTEXT = frozenset({b"traceparent", b"tracestate"})
"""Headers of the trace, for providers that are to know of it."""
_NO_CONTEXT: frozenset[bytes] = frozenset()
_ANYBODYS = _CONTEXT | {b"idempotency-key"}
"""Headers that mean the same to a provider of any dialect."""
_REPORTS_USAGE = frozenset({"chat", "completions"})
"""Operations whose streams report usage only when asked."""


def render(
    exchange: Exchange,
    candidate: Candidate,
    upstream: Upstream,
    translation: Translation | None = None,
    context: bytes = b"",
    added: Headers | None = None,
) -> tuple[bytes, bytes, bool]:
    """(head, body, hide usage) of the request to `candidate`. `context`: header lines in the place of the client's trace;
    `added`: headers in the place of the client's of these names, where the configuration says nothing of them.

    Raises ProxyError bad_req when the model's name cannot stand in the provider's path.
    """
    if translation is None:
        body, hide_usage = _body(exchange, candidate)
        made = None
        if exchange.endpoint.suffix == forms.EDITS and exchange.envelope is not None:
            made = forms.form(exchange.endpoint, upstream.provider, body)
            body = body if made is None else made[1]
        own: tuple[str | None, Headers | None] = (None, None)
        if exchange.endpoint.upgrades:
            asked = sockets.query(exchange, candidate.upstream_model)
            own = asked, sockets.handshake(exchange.request.headers)
        head = _head(
            exchange, exchange.endpoint, candidate, upstream, body, context, *own, added=added
        )
        return head if made is None else forms.typed(head, made[0]), body, hide_usage
    body = _translated(exchange, candidate, translation)
    query = translation.query if translation.endpoint.stream else ""
    endpoint = translation.endpoint
    own = query, translation.headers
    head = _head(exchange, endpoint, candidate, upstream, body, context, *own, added=added)
    opened = translation.target.opened
    if opened is not None:
        head = head.replace(b"{conversation_id}", quote(str(opened.id), safe="-._~").encode())
    return head, body, False


def _head(
    exchange: Exchange,
    endpoint: Endpoint,
    candidate: Candidate,
    upstream: Upstream,
    body: bytes,
    context: bytes,
    own_query: str | None = None,
    own_headers: Headers | None = None,
    added: Headers | None = None,
) -> bytes:
    """`own_query` instead of the client's, where the client's words mean nothing to the provider; `own_headers` besides."""
    model = candidate.upstream_model
    named = (
        "{model}" in upstream.provider.dialects[endpoint.dialect] or "{model}" in endpoint.suffix
    )
    streamed = exchange.stream if endpoint.stream is None else endpoint.stream
    key = (endpoint, candidate.credential, model if named else "", streamed)
    fixed = upstream.heads.get(key)
    if fixed is None:
        _make_room(upstream)
        fixed = _fixed(upstream, candidate.credential, endpoint, model, streamed=streamed)
        upstream.heads[key] = fixed
    target, lines = fixed
    if exchange.params and "id" in exchange.params:
        target = target.replace(b"{id}", exchange.params["id"].encode())
    asked = exchange.query if own_query is None else own_query
    query = _query(asked, upstream.provider, endpoint, candidate.credential)
    if query:
        target += b"?" + query
    headers = exchange.request.raw_headers
    theirs = _CONTEXT if upstream.provider.propagate and not context else _NO_CONTEXT
    theirs = theirs | arguments(headers) if exchange.endpoint.dialect == MCP else theirs
    forwarded = to_upstream(headers, theirs)
    if own_query is not None and endpoint.dialect != exchange.endpoint.dialect:
        forwarded = [header for header in forwarded if header[0] in _ANYBODYS]
        forwarded.append((b"content-type", b"application/json"))
    if own_headers:
        forwarded += own_headers
    if endpoint.family == "anthropic":
        forwarded = _versioned(forwarded, lines)
    if added:
        forwarded = _over(added, forwarded, lines)
    parts = [b"%b %b HTTP/1.1\r\n" % (endpoint.method.encode(), target), lines]
    parts += [b"%b: %b\r\n" % header for header in forwarded]
    if context:
        parts.append(context)
    if exchange.deadline is not None and upstream.provider.pass_deadline:
        parts.append(_time_left(exchange.deadline))
    auth = upstream.provider.auth.get(endpoint.family)
    if auth is not None and auth.scheme == "sigv4" and candidate.credential is not None:
        parts.append(_signed(upstream, candidate.credential, auth, target, body))
    if body or endpoint.method in _BRING:
        parts.append(b"content-length: %d\r\n" % len(body))
    parts.append(b"\r\n")
    return b"".join(parts)


def _signed(
    upstream: Upstream, credential: Credential, auth: Auth, target: bytes, body: bytes
) -> bytes:
    """Header lines that sign a request as AWS wants it."""
    headers = [("host", urlsplit(upstream.provider.base_url).netloc)]
    secret, scope = upstream.minted(auth, credential), Scope.parse(auth.name)
    added = sign(secret, scope, "POST", target.decode("ascii"), headers, body, now())
    return "".join(f"{name}: {value}\r\n" for name, value in added).encode()


def _versioned(forwarded: Headers, lines: bytes) -> Headers:
    """With exactly one version: the configured one, else the client's, else the usual."""
    if b"\r\n" + _VERSION + b":" in lines:
        return [header for header in forwarded if header[0] != _VERSION]
    if all(name != _VERSION for name, _ in forwarded):
        return [*forwarded, (_VERSION, b"2023-06-01")]
    return forwarded


def _make_room(upstream: Upstream) -> None:
    """For one more head."""
    if len(upstream.heads) >= _MAX_FIXED:
        upstream.heads.clear()


def _time_left(deadline: Deadline) -> bytes:
    """A header line, where there is an end."""
    if deadline.end == inf:
        return b""
    return b"x-request-deadline-ms: %d\r\n" % max((deadline.end - monotonic()) * 1000, 0)


def _over(added: Headers, forwarded: Headers, lines: bytes) -> Headers:
    configured = lines.lower()
    found = {name: value for name, value in added if b"\r\n%b:" % name not in configured}
    return [*(header for header in forwarded if header[0] not in found), *found.items()]


def _fixed(
    upstream: Upstream,
    credential: Credential | None,
    endpoint: Endpoint,
    model: str,
    *,
    streamed: bool,
) -> tuple[bytes, bytes]:
    """(request target, header lines) that are the same for every request of a kind."""
    provider, family = upstream.provider, endpoint.family
    if any(part in (".", "..") for part in model.split("/")):
        raise ProxyError("bad_req", "The model's name is not usable.", param="model")
    root = variant(provider.dialects[endpoint.dialect], streamed=streamed)
    # An inference profile is named by an ARN, whose slash is no step of the path.
    quoted = quote(model, safe="" if family == "bedrock" else "/-._~:@")
    path = (join(provider.base_url, root) + endpoint.suffix).replace("{model}", quoted)
    parts = urlsplit(path)
    target = path if provider.proxy and parts.scheme == "http" else parts.path
    minted = upstream.minted(presented.place(provider, family), credential)
    headers = {"host": parts.netloc, **presented.headers(provider, family, credential, minted)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return target.encode(), lines.encode()


def _query(
    query: str, provider: Provider, endpoint: Endpoint, credential: Credential | None
) -> bytes:
    auth = provider.auth.get(endpoint.family)
    if not query and not provider.query and (auth is None or auth.scheme != "query"):
        return b""
    own = presented.query(provider, endpoint.family, credential)
    # Of a name given twice some servers take the first: what is configured is not the client's to say.
    ours = _OURS.union(name for name, _ in own)
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in ours]
    return urlencode(pairs + own).encode()


def _body(exchange: Exchange, candidate: Candidate) -> tuple[bytes, bool]:
    """(body, whether usage was asked for on the client's behalf)."""
    deployment = candidate.deployment
    endpoint = exchange.endpoint
    envelope = exchange.envelope
    model = candidate.upstream_model
    if envelope is None:
        if exchange.form and (model != exchange.model or endpoint.model_in_path):
            return multipart.replace_model(exchange.body, exchange.form, model), False
        return exchange.body, False
    renamed = endpoint.family != "gemini" and (endpoint.model_in_path or model != exchange.model)
    ask_usage = (
        exchange.stream
        and deployment.force_usage
        and endpoint.operation in _REPORTS_USAGE
        and _with_usage(envelope.raw("stream_options")) is not None
    )
    params = deployment.param_defaults or deployment.param_overrides
    fields = deployment.provider.fields
    how = fields.get(endpoint.dialect) if fields else None
    if not (renamed or ask_usage or params or exchange.must_reemit or how):
        return exchange.body, False
    edited = envelope.copy()
    if deployment.param_defaults:
        edited.merge_defaults(deployment.param_defaults)
    if deployment.param_overrides:
        edited.merge_overrides(deployment.param_overrides)
    if renamed:
        edited.set("model", orjson.dumps(model))
    options = _with_usage(edited.raw("stream_options")) if ask_usage else None
    if options is not None:
        edited.set("stream_options", options)
    if how is not None:
        fit(edited, how)
    return edited.encode(), ask_usage


def _translated(exchange: Exchange, candidate: Candidate, translation: Translation) -> bytes:
    """The body in the provider's dialect; the parameters of the configuration are in that dialect too."""
    deployment = candidate.deployment
    how = deployment.provider.fields.get(translation.endpoint.dialect)
    if not translation.verbatim:
        mute = translation.endpoint.stream and not deployment.force_usage
        if not (deployment.param_defaults or deployment.param_overrides or mute or how):
            return translation.body
        edited = Envelope.parse(translation.body)
        if mute:
            edited.drop("stream_options")
    else:
        assert exchange.envelope is not None
        edited = exchange.envelope.copy()
        _switch_mode(edited, translation.endpoint, ask_usage=deployment.force_usage)
        if translation.endpoint.family != "gemini":
            edited.set("model", orjson.dumps(candidate.upstream_model))
    edited.merge_defaults(deployment.param_defaults)
    edited.merge_overrides(deployment.param_overrides)
    if how is not None:
        fit(edited, how)
    return edited.encode()


def _switch_mode(edited: Envelope, endpoint: Endpoint, *, ask_usage: bool) -> None:
    """Ask for a stream, or for none, where the body says which."""
    if endpoint.family == "gemini":
        return
    edited.set("stream", b"true" if endpoint.stream else b"false")
    if endpoint.operation in _REPORTS_USAGE:
        edited.drop("stream_options")
        if endpoint.stream and ask_usage:
            edited.set("stream_options", b'{"include_usage":true}')


def _with_usage(raw: bytes | None) -> bytes | None:
    """The `stream_options` that ask for usage; None where the client asks itself, or sent what is not ours to mend."""
    if raw is None or raw == b"null":
        return b'{"include_usage":true}'
    try:
        options = Envelope.parse(raw)
    except ProxyError:
        return None
    if options.flag("include_usage"):
        return None
    options.set("include_usage", b"true")
    return options.encode()
