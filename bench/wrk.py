"""A load generator in C, `wrk` (Debian's package of that name): the 250 byte request, by somebody else's clock.

It asks from one thread on as many connections as the scenario `request`. Its rate and latencies stand beside those of
our own load generator, which is Python: where the two agree, ours was not what was measured.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from msgspec import Struct

from bench.load import Load, request_bytes
from bench.machine import pin
from bench.peers import PeerError, workdir

if TYPE_CHECKING:
    from bench.machine import Cores
    from bench.peers import Peer

CONNECTIONS = 16
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_QUANTILE = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
_MICRO = {"us": 1.0, "ms": 1e3, "s": 1e6}
_WRONG = re.compile(r"^\s+(Non-2xx or 3xx responses|Socket errors):(.*)$", re.MULTILINE)


class Rate(Struct, frozen=True):
    """Requests a second, and microseconds."""

    requests: float
    p50: float
    p99: float


def is_there() -> bool:
    return shutil.which("wrk") is not None


def ask(peer: Peer, model: str, seconds: float, cores: Cores) -> Rate:
    """Keep `peer` busy. Raises PeerError when an answer was wrong."""
    with workdir() as folder:
        script = folder / "request.lua"
        script.write_text(_script(peer, model))
        words = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--latency"]
        words += ["--duration", f"{max(round(seconds), 1)}s", "--script", str(script)]
        done = subprocess.run(
            [*words, f"http://{peer.host}:{peer.port}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
            preexec_fn=pin(cores.load),
        )
    if done.returncode:
        raise PeerError(f"wrk: {done.stderr[-2000:]}")
    return read(done.stdout)


def read(said: str) -> Rate:
    """From what wrk printed. Raises PeerError when there is no rate in it, or something went wrong."""
    wrong, rate = _WRONG.search(said), _RATE.search(said)
    found = {name: float(value) * _MICRO[unit] for name, value, unit in _QUANTILE.findall(said)}
    if wrong is not None or rate is None or len(found) != 2:
        raise PeerError(f"wrk: {wrong[0].strip() if wrong is not None else said[-2000:]}")
    return Rate(float(rate[1]), found["50"], found["99"])


def _script(peer: Peer, model: str) -> str:
    """The same request that our own load generator sends, in wrk's words."""
    request = request_bytes(
        Load(
            model=model,
            host=peer.host,
            port=peer.port,
            path=peer.path,
            key=peer.key,
            headers=list(peer.headers),
        )
    )
    head, _, body = request.decode().partition("\r\n\r\n")
    fields = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
    # wrk writes these two itself.
    kept = [field for field in fields if field[0] not in ("Host", "Content-Length")]
    # The blanks matter: two brackets together begin a string.
    lines = [f"wrk.headers[ {_quoted(name)} ] = {_quoted(value)}" for name, value in kept]
    return "\n".join(
        (
            'wrk.method = "POST"',
            f"wrk.path = {_quoted(peer.path)}",
            f"wrk.body = {_quoted(body)}",
            *lines,
            "",
        )
    )


def _quoted(text: str) -> str:
    """A string of Lua. Raises ValueError for one that would end it."""
    if "]==]" in text or "\n" in text:
        raise ValueError("no string of Lua")
    return f"[==[{text}]==]"
