"""Open files: how many this process may have, and what for.

A client's connection takes one, and the request on it another, at the provider. RESERVE are never given to clients: the
admin listener, health, metrics, the spool, the database and the look-up of a name work on when there is none left for them.
"""

from __future__ import annotations

import os
import resource

RESERVE = 64
BASE = 64
"""What a worker has open before the first client comes: about 40, with some room."""
LEAST = 16
"""Clients below which nothing is served at all."""
TIGHT = 512
"""Clients below which it is said at the start that they are few."""
PER_CLIENT = 2
_UNLIMITED = 1 << 20
"""In the place of no limit: as many as Linux gives a process (`fs.nr_open`) unless it is told otherwise."""


def raised() -> int:
    """Take as many as the hard limit allows; how many that is. For this process and those it begins."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a system that allows less than it says
            pass
    return limit()


def limit() -> int:
    """How many files this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, _UNLIMITED)


def clients(most: int) -> int:
    """Client connections for which `most` files are enough, each with a request under way."""
    return max(most - RESERVE - BASE, 0) // PER_CLIENT


def needed(connections: int) -> int:
    """Files for so many client connections."""
    return connections * PER_CLIENT + RESERVE + BASE


def check(connections: int, most: int) -> str:
    """What is to be said at the start where `most` files may be open: empty, or a warning. `connections`: as configured,
    0 for as many as there can be.

    Raises ValueError where that cannot work.
    """
    room = clients(most)
    how = "raise it: 'ulimit -n', LimitNOFILE= of systemd, --ulimit nofile= of docker"
    if room < LEAST:
        raise ValueError(
            f"this process may have {most} files open, and needs {needed(LEAST)} at least; {how}"
        )
    if connections > room:
        raise ValueError(
            f"server.max_connections: {connections} clients take up to {needed(connections)} open files in each worker"
            f" (each client one, and one for its request at a provider, and {RESERVE + BASE} besides), and {most} are"
            f" allowed; {how}, or lower max_connections to {room}"
        )
    if not connections and room < TIGHT:
        return f"this process may have {most} files open: each worker takes {room} clients at once; {how}"
    return ""


def lowest_free(any_open: int) -> int:
    """The number that the next file gets; `limit()` when there is none left.

    All below it are taken, so this says in two system calls how near the limit is, however many are open.
    """
    try:
        number = os.dup(any_open)
    except OSError:
        return limit()
    os.close(number)
    return number
