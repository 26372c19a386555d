"""The simulated provider with a page more, `/health`, which some proxies ask before they listen.

`python -m bench.provider PORT [CERTIFICATE KEY]`.
"""

from __future__ import annotations

import sys
from functools import lru_cache

from proxy.core import certificates
from proxy.core.model import TLS
from proxy.core.tls import Identity
from proxy.simulator import openai_other, routes, server

HEALTH = routes.Route("openai", openai_other.models)
_find = routes.find.__wrapped__


@lru_cache(4096)
def find(method: bytes, path: bytes) -> routes.Route | None:
    """As `routes.find`, and as quick."""
    return HEALTH if path == b"/health" else _find(method, path)


if __name__ == "__main__":
    routes.find = find
    identity = None
    if len(sys.argv) > 2:
        identity = Identity(*certificates.load(TLS(*sys.argv[2:])))
    server.main("127.0.0.1", int(sys.argv[1]), identity)
