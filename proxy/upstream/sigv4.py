"""AWS Signature Version 4 of one request: headers that prove who sent it, and that nobody changed it on the way.

The path is signed as it stands in the request line and quoted once more, which is what every service but S3 wants.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from hmac import digest
from urllib.parse import quote

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset({"authorization", "connection", "expect", "transfer-encoding", "user-agent"})
"""Headers that something between the two may change."""

Headers = list[tuple[str, str]]


class Scope(Struct, frozen=True):
    """Where a signature is good."""

    region: str
    service: str = "bedrock"

    @classmethod
    def parse(cls, text: str) -> Scope:
        """`REGION` or `REGION/SERVICE`."""
        region, _, service = text.partition("/")
        return cls(region, service or "bedrock")


def sign(
    credential: str,
    scope: Scope,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    at: float,
) -> Headers:
    """The headers to add to a request: date, session token if there is one, and signature.

    `credential` is `ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:SESSION_TOKEN`, `target` the path and query of the
    request line, `headers` those to be signed, `host` among them; `at` are Unix seconds.
    """
    access_key, _, rest = credential.partition(":")
    secret, _, token = rest.partition(":")
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", moment)]
    if token:
        added.append(("x-amz-security-token", token))
    names, canonical = canonical_request(method, target, [*headers, *added], body)
    where = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{where}\n{sha256(canonical.encode()).hexdigest()}"
    key = _key(secret, moment[:8], scope.region, scope.service)
    signature = digest(key, text.encode(), "sha256").hex()
    proof = f"Credential={access_key}/{where}, SignedHeaders={names}, Signature={signature}"
    return [*added, ("authorization", f"{_ALGORITHM} {proof}")]


def canonical_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
) -> tuple[str, str]:
    """(names of the signed headers, the request in the form that is signed)."""
    path, _, query = target.partition("?")
    values: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() not in _UNSIGNED:
            values.setdefault(name.lower(), []).append(" ".join(value.split()))
    lines = [f"{name}:{','.join(values[name])}\n" for name in sorted(values)]
    names = ";".join(sorted(values))
    parts = (method, _path(path), _query(query), "".join(lines), names, sha256(body).hexdigest())
    return names, "\n".join(parts)


def _path(path: str) -> str:
    """Without empty and dot segments, and quoted: once more, where it is quoted already."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{end}", safe="/~")


def _query(query: str) -> str:
    """Sorted by name, then by value."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&")) if query else []
    return "&".join([f"{name}={value}" for name, value in pairs])


@lru_cache(64)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of a day: it takes four steps, so it is kept."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = digest(key, part.encode(), "sha256")
    return key
