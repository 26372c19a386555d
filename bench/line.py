"""What limits, budgets and the ledger cost a request in one thread of one process, without a socket.

Everything between a request that has been read and the write of its answer is the real line (`gateway.pipeline.serve`); the
client's connection and the provider's are objects that remember nothing and answer at once. Its time is that of the
thread, which neighbours disturb far less than that of a process with sockets, so a change of half a microsecond shows.
What the kernel does for a socket, and the threads of the ledger and of the log, are not in it.

Bytecodes are counted too. They are the same on every machine and at every load, and most of the time is theirs.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from bench.load import Load, request_bytes
from bench.peers import KEY
from proxy.core.config import parse
from proxy.core.metrics import Metrics
from proxy.gateway import pipeline
from proxy.gateway.endpoints import match
from proxy.gateway.exchange import Exchange
from proxy.gateway.throttle import Throttle
from proxy.ledger.spool import Spool
from proxy.limits.accounts import Accounts
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import FrameType

    from proxy.core.model import Auth, Credential, Provider, Snapshot

MODEL = "sim-n16"
HEAD, _, BODY = request_bytes(Load(model=MODEL, key=KEY)).partition(b"\r\n\r\n")
"""The request of the other measurements."""
ANSWER = msgspec.json.encode(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(["word"] * 16)},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 16, "total_tokens": 76},
    }
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
BATCH = 50
"""Requests of one way in turn."""
WARM = 5
"""Batches before anything counts."""
_COUNTED = 16
"""Requests whose bytecodes are counted."""


class _Request:
    """As much of a request of aiohttp's as the line looks at; its body is here."""

    version = (1, 1)
    keep_alive = True
    method = "POST"
    scheme = "http"
    raw_path = "/v1/chat/completions"
    remote = "127.0.0.1"

    def __init__(self, *more: bytes) -> None:
        """`more`: lines of its head."""
        lines = [line.partition(b": ") for line in (*HEAD.split(b"\r\n")[1:], *more)]
        self.raw_headers = tuple((name, value) for name, _, value in lines)
        self.headers = CIMultiDictProxy(
            CIMultiDict((name.decode(), value.decode()) for name, value in self.raw_headers)
        )
        self.content = self

    def is_eof(self) -> bool:
        return True

    def read_nowait(self) -> bytes:
        return BODY


class _Client:
    """A client that takes everything."""

    half_closed = False
    writing_paused = False
    received_at = 0.0
    flow = None
    transport = None

    def __init__(self) -> None:
        self.written = b""

    def may_have_left(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written = data


class _Provider:
    """A provider, the pool of its connections and the one connection it has: it answers while it is asked."""

    attempts = 0
    conversations = None
    minter = None
    served = 1
    consumer = None
    quieted = None

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.heads: dict[object, tuple[bytes, bytes]] = {}

    def of(self, _provider: Provider) -> _Provider:
        return self

    def minted(self, _auth: Auth, credential: Credential | None) -> str:
        return "" if credential is None else credential.secret.reveal()

    async def connect(
        self, _timeout: float, *, fresh: bool = False
    ) -> tuple[_Provider, Callable[[], None]]:
        return self, _nothing

    def exchange(
        self, _head: bytes, _body: bytes, gate: Any, release: Callable[[], None], *, upgrades: bool
    ) -> None:
        gate.head(200, HEADERS)
        gate.body(ANSWER)
        gate.end()
        release()

    def hold(self) -> None:
        """Nothing more comes."""

    unhold = cancel = hold


def _nothing() -> None:
    pass


def standing(snapshot: Snapshot, folder: Path | None, stack: ExitStack) -> State:
    """What a worker of this configuration works with. With a `folder` requests are recorded there, and limits are counted in a
    file of it."""
    state = State(snapshot, Live(), Metrics("0", version="0", aiohttp="0"))
    state.use(snapshot)
    if folder is None:
        accounts = Accounts.memory()
    else:
        state.spool = stack.enter_context(closing(Spool(folder, "0", size=1 << 34)))
        accounts = Accounts.open(folder / "limits.shm", 0, 2)
        accounts.learned()
        accounts.alone(True)
    state.accounts = accounts
    stack.callback(accounts.close)
    return state


class Line:
    """One configuration, ready to serve."""

    def __init__(
        self, snapshot: Snapshot, folder: Path | None, stack: ExitStack, *headers: bytes
    ) -> None:
        """With a `folder` requests are recorded there, and limits are counted in a file of it. `headers`: lines besides."""
        self.state = standing(snapshot, folder, stack)
        found = match("POST", "/v1/chat/completions")
        assert found is not None
        self._endpoint, self._params = found
        self._request: Any = _Request(*headers)
        self._client: Any = _Client()
        (provider,) = snapshot.providers.values()
        self._pool: Any = _Provider(provider)
        self._throttle = Throttle()

    def once(self) -> None:
        """One request. It never waits, so it is done when this returns, but for the turns it gives the loop."""
        client = self._client
        client.received_at = time.monotonic()
        exchange = Exchange(
            self._request, client, self._endpoint, self._params, "", client.received_at
        )
        if self.state.tracer is not None:
            self.state.tracer.begin(exchange)
        call = pipeline.serve(exchange, client, self.state, self._pool, self._throttle)
        try:
            while True:
                call.send(None)
        except StopIteration:
            pass
        if exchange.status != 200:
            raise RuntimeError(f"the line answered {exchange.status}: {client.written[-300:]!r}")

    def batch(self) -> float:
        """Microseconds of this thread a request, over a few of them."""
        before = time.thread_time_ns()
        for _ in range(BATCH):
            self.once()
        return (time.thread_time_ns() - before) / 1e3 / BATCH

    def bytecodes(self) -> float:
        """Of a request, once it is known what requests usually come to."""
        number = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal number
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            number += event == "opcode" and frame.f_code.co_filename != __file__
            return trace

        self.batch()
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for _ in range(_COUNTED):
                self.once()
        finally:
            sys.settrace(before)
        return number / _COUNTED


def measure(
    settings: Mapping[str, str], recorded: frozenset[str], folder: Path, batches: int
) -> dict[str, list[float]]:
    """Microseconds a request in each batch, by name. All take turns, a few milliseconds each, so that what the machine does
    meanwhile is the same for all of them.

    `settings`: configurations as text, by name; `recorded`: those of them with a ledger, below `folder`.
    """
    with ExitStack() as stack:
        return asyncio.run(in_turns(_lines(settings, recorded, folder, stack), batches))


def bytecodes(
    settings: Mapping[str, str], recorded: frozenset[str], folder: Path
) -> dict[str, float]:
    """How many the interpreter carries out for a request, by name."""

    async def count() -> dict[str, float]:
        lines = _lines(settings, recorded, folder, stack)
        return {name: line.bytecodes() for name, line in lines.items()}

    with ExitStack() as stack:
        return asyncio.run(count())


def _lines(
    settings: Mapping[str, str], recorded: frozenset[str], folder: Path, stack: ExitStack
) -> dict[str, Line]:
    lines: dict[str, Line] = {}
    for name, text in settings.items():
        own = folder / name if name in recorded else None
        if own is not None:
            own.mkdir(exist_ok=True)
        lines[name] = Line(compile_snapshot(parse(text).config), own, stack)
    return lines


async def in_turns(lines: Mapping[str, Line], batches: int) -> dict[str, list[float]]:
    """Microseconds a request in each batch, by name; see `measure`."""
    costs: dict[str, list[float]] = {name: [] for name in lines}
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for turn in range(-WARM, batches):
            for name, line in lines.items():
                await asyncio.sleep(0)  # timers that were cancelled are forgotten now
                cost = line.batch()
                if turn >= 0:
                    costs[name].append(cost)
            gc.collect(0)
    finally:
        gc.enable()
        gc.unfreeze()
    return costs
