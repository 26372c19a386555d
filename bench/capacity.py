"""How many machines a load takes, what is full first, and what it costs: computed from what was measured.

Nothing is started. What Headrace takes for a request, a token and a stream is in `docs/figures.json`, which
`python -m bench` wrote; what the ledger adds is in `docs/ledger.md`, and `MEASURED` says where each number is from. Loads,
machines and prices are assumptions, in `Given`: `--set NAME=VALUE` puts in another.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, get_type_hints

import msgspec
from msgspec import Struct

from bench.peers import ROOT, PeerError
from bench.scenarios import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DAY: Final = 86_400
SIZES: Final = (1_000, 100_000, 10_000_000)


class Measured(Struct, frozen=True):
    """What one request, token and stream takes; seconds of a core, and bytes."""

    request: float
    """A request, TLS and ledger apart (figures.json, `request`)."""
    token: float
    """A streamed token (figures.json, `token`)."""
    stream: float
    """Memory of a stream that is held (figures.json, `held`)."""
    recorded: float = 172 / 133
    """A request with ledger, rates, slots and a budget, as a multiple (docs/ledger.md, with sockets)."""
    shipped: float = 60e-6
    """Bringing a request to PostgreSQL: the process that ships (docs/ledger.md)."""
    booked: float = 40e-6
    """… and the database (docs/ledger.md)."""
    bookings: float = 8_700.0
    """Requests that one PostgreSQL booked in a second, on two cores shared with the shipper (docs/ledger.md, the least)."""
    row: float = 800.0
    """Bytes of a request in PostgreSQL, with attempts and indexes (docs/stores.md: 8 GB for 10 million)."""
    spooled: float = (10 << 30) / 20e6
    """Bytes of a request on the disk of a host (docs/ledger.md)."""


class Given(Struct, frozen=True):
    """What is assumed of the load, of machines and of prices."""

    rate: float = 50.0
    """Tokens a second of a stream, once it has begun."""
    answer: float = 500.0
    """Tokens of an answer."""
    first: float = 1.0
    """Seconds until the first of them."""
    event: float = 300.0
    """Bytes of a token's event."""
    packet: float = 90.0
    """Bytes around it: IP, TCP, TLS, the chunk."""
    tls: float = 1.25
    """CPU of a token and a request with TLS to the provider, as a multiple of that without. Measured: 1.2 to 1.3."""
    secured: float = 47e3
    """Bytes of a stream's TLS to the provider. Measured."""
    cores: int = 16
    """Of a machine."""
    memory: float = 32e9
    """Bytes of a machine."""
    network: float = 12.5e9 / 8
    """Bytes a second that a machine sends, and as many that it takes."""
    packets: float = 1.5e6
    """Packets a second of a machine, both ways together."""
    ports: float = 28_232
    """Connections from one address to one address and port of a provider: Linux's `ip_local_port_range`."""
    addresses: float = 4
    """Addresses of the providers, as one machine sees them."""
    beside: float = 2.0
    """Cores of a machine for the kernel's network, the shipper and the system."""
    busy: float = 0.6
    """Share of a core that is used at the peak of a usual day."""
    worst: float = 0.85
    """… when a machine is gone."""
    lost: float = 1.0
    """Machines that may be gone at once."""
    worker: float = 100e6
    """Bytes of a worker without a stream. Measured, with the processes beside it."""
    kernel: float = 12e3
    """Bytes of a stream's two sockets in the kernel."""
    keys: float = 0.02
    """Limited keys that are active, for each stream."""
    connections: float = 3.0
    """To PostgreSQL, of a worker."""
    calls: float = 50_000
    """Calls a second that one Valkey answers."""
    core_hour: float = 0.04
    """US dollars for a core and an hour. An example, of no vendor: put in yours."""
    gigabyte: float = 0.05
    """US dollars for a gigabyte that leaves. The same."""
    million: float = 10.0
    """US dollars for a million tokens of answers, at the provider. The same."""


class Need(Struct, frozen=True):
    """What a number of streams takes."""

    streams: float
    requests: float
    """A second."""
    tokens: float
    """A second."""
    machines: int
    each: float
    """Streams on each of them."""
    full: Sequence[tuple[str, float]]
    """What of a machine, and the share of it that is used; the fullest first."""
    workers: int
    databases: float
    """PostgreSQL as it was measured: how many times its bookings."""
    connections: float
    """To PostgreSQL."""
    calls: float
    """To Valkey, a second; at most."""
    rows: float
    """Bytes that come to the database in a day."""
    spool: float
    """Bytes that one host writes to its disk in a day."""
    outage: float
    """Seconds for which the database may be away until `ledger.size` (10 GiB) of a host is full."""
    dollars: Sequence[tuple[str, float]]
    """A day: what for, and how many."""


def measured(text: bytes) -> Measured:
    """From the content of `figures.json`. Raises PeerError when a row is missing."""
    rows = {row["metric"]: row["figures"] for row in msgspec.json.decode(text)["rows"]}
    try:
        micro, kilo = 1e-6, 1e3
        return Measured(
            request=rows["request"][SUBJECT]["median"] * micro,
            token=rows["token"][SUBJECT]["median"] * micro,
            stream=rows["held"][SUBJECT]["median"] * kilo,
        )
    except KeyError as error:
        raise PeerError(f"figures.json has no {error}") from None


def published() -> Measured:
    """What the documentation says."""
    return measured((ROOT / "docs" / "figures.json").read_bytes())


def given(words: Iterable[str]) -> Given:
    """`NAME=VALUE` for each assumption that is another. Raises PeerError for what is none."""
    kinds = get_type_hints(Given)
    changes: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in kinds:
            raise PeerError(f"no such assumption: {name}; there are {', '.join(kinds)}")
        try:
            changes[name] = kinds[name](value)
        except ValueError:
            raise PeerError(f"{name}: expected a number, found {value!r}") from None
        if not changes[name] > 0 or math.isinf(changes[name]):
            raise PeerError(f"{name}: expected a number above 0, found {value!r}")
    return Given(**changes)  # type: ignore[arg-type]


def seconds(load: Given) -> float:
    """How long a stream lasts."""
    return load.first + load.answer / load.rate


def of_stream(cost: Measured, load: Given) -> float:
    """Cores of workers that one stream takes."""
    each = cost.request * cost.recorded + load.answer * cost.token
    return each * load.tls / seconds(load)


def shares(cost: Measured, load: Given, streams: float) -> dict[str, float]:
    """What of a machine so many streams take, each as a share of what there is; processors beyond `busy` are more than 1."""
    tokens = streams * load.answer / seconds(load)
    workers = load.cores - load.beside
    return {
        "processors": streams * of_stream(cost, load) / (workers * load.busy),
        "memory": (streams * (cost.stream + load.secured + load.kernel) + workers * load.worker)
        / load.memory,
        "network": tokens * (load.event + load.packet) / load.network,
        # Each token is a packet that comes and one that goes, and two acknowledgements for every two of them.
        "packets": tokens * 3.0 / load.packets,
        "ports to providers": streams / (load.ports * load.addresses),
    }


def need(cost: Measured, load: Given, streams: float) -> Need:
    """What so many streams at once take."""
    most = _most(cost, load)
    # On a usual day as busy as that; with some of them gone not busier than the worst.
    usual = streams / most
    hurt = streams / (most * load.worst / load.busy) + load.lost
    machines = max(math.ceil(usual), math.ceil(hurt), 1 + math.ceil(load.lost))
    each = streams / machines
    requests = streams / seconds(load)
    tokens = requests * load.answer
    workers = machines * math.floor(load.cores - load.beside)
    full = sorted(shares(cost, load, each).items(), key=lambda one: -one[1])
    # A host draws on a slice of a limit for some 3 s; who asks seldom takes a call for each request.
    calls = min(requests, streams * load.keys * machines / 3)
    sent = requests * load.answer * (load.event + load.packet)
    return Need(
        streams=streams,
        requests=requests,
        tokens=tokens,
        machines=machines,
        each=each,
        full=tuple(full),
        workers=workers,
        databases=requests / cost.bookings,
        connections=workers * load.connections + machines,
        calls=calls,
        rows=requests * cost.row * DAY,
        spool=requests / machines * cost.spooled * DAY,
        outage=(10 << 30) / cost.spooled / (requests / machines),
        dollars=(
            ("machines", machines * load.cores * load.core_hour * 24),
            ("what leaves for clients", sent * DAY / 1e9 * load.gigabyte),
            ("the providers' tokens", tokens * DAY / 1e6 * load.million),
        ),
    )


def _most(cost: Measured, load: Given) -> float:
    """Streams that fill a machine to a share of 1 in whatever is full first. Raises PeerError for one that has no room for any."""
    workers = load.cores - load.beside
    if workers < 1:
        raise PeerError(
            f"cores: a machine of {load.cores} has none for a worker, with {load.beside:g} beside them"
        )
    at = shares(cost, load, 0.0)
    if at["memory"] >= 1.0:
        raise PeerError(
            f"memory: {workers:g} workers take {workers * load.worker:g} bytes, and a machine has {load.memory:g}"
        )
    more = shares(cost, load, 1.0)
    return min((1.0 - at[name]) / (more[name] - at[name]) for name in at)
