"""What a running process cannot change: it stays as it was at the start, whatever the file says later."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.config.schema import Config

FIXED = (
    "server.host",
    "server.port",
    "server.workers",
    "server.ops",
    "admin.host",
    "admin.port",
    "store.url",
    "store.snapshot",
    "ledger.path",
    "ledger.size",
    "ledger.sync",
    "shared.url",
    "shared.prefix",
    "shared.timeout",
    "logging.file",
    "logging.format",
)


def changed(begun: Config, config: Config) -> list[str]:
    """Which of them differ from the file that the process began with."""
    return [name for name in FIXED if attrgetter(name)(begun) != attrgetter(name)(config)]
