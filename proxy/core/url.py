"""URLs: where a dialect is under a provider's base URL, and what of one may be shown."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
CHOICE = re.compile(r"\{(\w+)\|(\w+)\}")
"""A part of a path that says whether the answer is streamed: `{rawPredict|streamRawPredict}`."""


def variant(root: str, *, streamed: bool) -> str:
    """The path for whole answers, or for streamed ones, where they differ."""
    return CHOICE.sub(r"\2" if streamed else r"\1", root) if "|" in root else root


def join(base_url: str, root: str) -> str:
    """`root` under `base_url`, a version segment that both of them name standing once.

    `https://x/v1` + `/v1/chat/completions` and `https://x` + `/v1/chat/completions` are the same place.
    """
    base = base_url.rstrip("/")
    segments = urlsplit(base).path.split("/")
    first = root.lstrip("/").partition("/")[0]
    if len(segments) > 1 and segments[-1] == first:
        return base + root.lstrip("/")[len(first) :]
    return base + "/" + root.lstrip("/")


def masked(url: str) -> str:
    """The URL without whom it lets in: no user, no password, and nothing after a question mark."""
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    if "?" in user or not separator:  # nobody knows which part that is
        return f"{scheme}{separator}{MASK}" if separator else MASK
    place, question, _ = place.partition("?")
    return f"{scheme}{separator}{MASK + at if at else ''}{place}{question and question + MASK}"


def sqlite_file(url: str) -> str:
    """Path of the file that a URL of SQLite names, `sqlite:///relative` or `sqlite:////absolute`; empty: it names none."""
    try:
        parts = urlsplit(url, allow_fragments=False)  # a name may have a `#`
    except ValueError:
        return ""
    path = unquote(parts.path)[1:]
    return "" if parts.netloc or parts.query or path == ":memory:" else path


def login_encoded(url: str) -> str:
    """The URL with what its user and password hold that ends either, or the host, in a URL: `@`, `/`, `#`, `?` and more.

    What a variable holds is put into a URL as it is, and a part of a password must not be taken for a host. `%40` stays.
    """
    scheme, separator, rest = url.partition("://")
    place, question, query = rest.partition("?")
    if "@" in query and not _PARAMETER.match(query):
        place, question, query = rest, "", ""  # the question mark is one of the password
    login, at, place = place.rpartition("@")
    if login.startswith("/"):  # the path of a socket
        return url
    login = quote(login, safe=_IN_LOGIN, errors="replace")
    return f"{scheme}{separator}{login}{at}{place}{question}{query}"


_PARAMETER = re.compile(r"\w+=")
_IN_LOGIN = "%:!$&'()*+,;="
