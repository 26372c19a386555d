"""Where a base URL leads, as far as its text tells.

Names are resolved, and the addresses vetted again, when a connection is made; this catches what can be seen before:
literal addresses in every spelling an operating system accepts, names of this machine, metadata services. The
grammar is narrow on purpose, so that no two URL parsers can read two different hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from msgspec import Struct

from proxy.core.address import Place, place_of
from proxy.core.url import CHOICE


class Fault(Struct, frozen=True):
    """Why a base URL cannot be used. `found` is a fixed text: an address may hold a password."""

    expected: str
    found: str
    advice: str


_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!$-;=@-\[\]^_a-z{}~]*)?",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?P<scheme>https?://)[a-z0-9._~!$&'()*+,;=:%-]*@", re.IGNORECASE)
_METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.oraclecloud.com",
        "metadata.tencentyun.com",
        "api.metadata.cloud.ibm.com",
        "instance-data",
        "instance-data.ec2.internal",
        "rancher-metadata",
    }
)
_LOCAL_SUFFIXES = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa")


def fault(url: str, *, allow_private: bool, allow_http: bool) -> Fault | None:
    """What is wrong with a provider's base URL, if anything."""
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 1) not in range(1, 65536):
        return _malformed(url)
    host = match["host"].strip("[]").lower()
    place = classify(host)
    if place is None:
        return Fault("a host", "no name and no address", "write it as a name or as 192.0.2.1")
    if place is Place.METADATA:
        return Fault("an address of a provider", place.value, "such addresses are never allowed")
    if place is Place.PRIVATE and not allow_private:
        return Fault("a public address", place.value, "set allow_private: true if that is meant")
    if match["scheme"].lower() == "http" and not allow_http:
        inside = place is Place.PRIVATE or (place is Place.NAME and allow_private)
        if not inside:
            advice = "use https, or set allow_http: true to send credentials unencrypted"
            return Fault("https", "plain http to a public address", advice)
    return None


def proxy_fault(url: str, *, allow_private: bool) -> Fault | None:
    """What is wrong with the HTTP proxy on the way to a provider. It may have a user and a password, and no TLS."""
    place = _USERINFO.sub(lambda match: match["scheme"], url, count=1)
    return fault(place, allow_private=allow_private, allow_http=True)


def _malformed(url: str) -> Fault:
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if not separator or scheme.lower() not in ("http", "https"):
        return Fault("a URL that begins with https://", "another one", "other schemes are not used")
    if "@" in authority:
        return Fault("a URL without user and password", "both or one", "use credentials: [...]")
    if "?" in rest:
        return Fault("a URL without '?'", "a query", "put it under query: {name: value}")
    if "#" in rest:
        return Fault("a URL without '#'", "a fragment", "remove it")
    if not authority.isascii():
        return Fault("an ASCII host name", "another one", "write it in Punycode: xn--…")
    return Fault(
        "a URL such as https://api.example.com/v1", "something else", "check host and port"
    )


def classify(host: str) -> Place | None:
    """What kind of place a host (lower case, no brackets) is; None for what no address and no name can be."""
    host = host.removesuffix(".")
    if ":" in host:
        try:
            return place_of(ipaddress.IPv6Address(host))
        except ValueError:
            return None
    labels = host.split(".")
    if re.fullmatch(r"0x[0-9a-f]*|[0-9]+", labels[-1]):
        number = _inet_aton(labels)
        return None if number is None else place_of(ipaddress.IPv4Address(number))
    if len(host) > 253 or not all(1 <= len(label) <= 63 for label in labels):
        return None
    if host in _METADATA_NAMES:
        return Place.METADATA
    if len(labels) == 1 or host.endswith(_LOCAL_SUFFIXES):
        return Place.PRIVATE
    return Place.NAME


def _inet_aton(labels: list[str]) -> int | None:
    """`127.1`, `0x7f.1`, `0177.0.0.1`, `2130706433`: what the C library makes of one to four numbers."""
    if len(labels) > 4:
        return None
    numbers: list[int] = []
    for label in labels:
        base = 16 if label.startswith("0x") else 8 if label.startswith("0") else 10
        try:
            numbers.append(int(label.removeprefix("0x") or "0", base))
        except ValueError:
            return None
    *heads, tail = numbers
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        return None
    return sum(head << (24 - 8 * index) for index, head in enumerate(heads)) + tail


def is_root(root: str, names: Sequence[str] = ("model",)) -> bool:
    """A path under a base URL: absolute, no query, no way up, no braces but around these names and what `url.variant` knows."""
    plain = CHOICE.sub("x", root)
    for name in names:
        plain = plain.replace(f"{{{name}}}", "x")
    return bool(re.fullmatch(r"(?:/[\w.~!$&'()*+,;=:@-]+)+", plain, re.ASCII)) and not any(
        segment in (".", "..") for segment in plain.split("/")
    )
