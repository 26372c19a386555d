"""What a configuration takes of this machine, seen before anything is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core import descriptors, memory

if TYPE_CHECKING:
    from proxy.core.model import Server

WORKER = 128 * 1024**2
"""Bytes below which a worker would refuse requests as soon as there were some: it takes two thirds of it idle."""
ROOMY = 256 * 1024**2
"""Bytes of a worker below which it is said that they are few."""


def check(server: Server) -> list[str]:
    """Raise the limit of open files as far as it goes; what is tight. Raises ValueError for what cannot work."""
    warnings = [descriptors.check(server.max_connections, descriptors.raised())]
    if server.memory_limit is not None:
        each = server.memory_limit // server.workers
        if each < WORKER:
            raise ValueError(
                f"server.memory_limit: {server.memory_limit >> 20} MiB are {each >> 20} MiB for each of"
                f" {server.workers} workers, and one needs {WORKER >> 20} MiB: raise it, or have fewer workers"
            )
    elif (container := memory.of_container()) is not None:
        each = container.size // server.workers
        if each < ROOMY:
            warnings.append(
                f"this container may have {container.size >> 20} MiB of memory, {each >> 20} MiB for each of"
                f" {server.workers} workers: large requests will be refused when it is short"
            )
    return [one for one in warnings if one]
