"""Where a dialect is under a provider's base URL."""

from __future__ import annotations

from urllib.parse import urlsplit


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
