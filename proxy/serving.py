"""What `serve` and the demo have in common: listeners, what the host has once, and who serves.

`serve` has a supervisor above its workers, also above one; the demo is one process, with the shipper beside it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proxy import commands
from proxy.commands import CONFIGURATION
from proxy.core.secret import Secret
from proxy.supervisor import systemd

if TYPE_CHECKING:
    from proxy.control.sync import ConfigFile
    from proxy.core.model import Snapshot
    from proxy.host import Host
    from proxy.tether import Tether

Adjust = Callable[["Snapshot"], "Snapshot"]


class Listeners:
    """What is listened on, opened before anything is served, so that a port that is taken is said at once.

    Raises OSError, and ValueError for sockets of systemd that are none of ours.
    """

    def __init__(self, settings: Snapshot) -> None:
        from proxy import worker

        server, admin = settings.server, settings.admin
        given = systemd.listeners(os.environ)
        self.api = given.get("api") or worker.listen(server.host, server.port)
        self.admin = given.get("admin")
        if self.admin is None and (admin.port != server.port or server.port == 0):
            self.admin = worker.listen(admin.host, admin.port)
        self.ops = given.get("ops")
        if self.ops is None and server.ops.port is not None:
            self.ops = worker.listen(server.ops.host, server.ops.port)

    def close(self) -> None:
        """In a process that serves nobody."""
        for one in (self.api, self.admin, self.ops):
            if one is not None:
                one.close()


def run(file: ConfigFile, announce: Callable[[str], None] | None = None, *, alone: bool) -> int:
    """Serve until told to stop; the exit code. `announce` is called with the address once clients may come."""
    settings = _settings(file)
    try:
        listeners = Listeners(settings)
    except ValueError as error:
        return commands.fail(CONFIGURATION, str(error))
    file.adjust = _pinned(file.adjust, settings)
    made_up = None
    if listeners.admin is not None and settings.admin.token is None:
        made_up = secrets.token_urlsafe(32)
        file.adjust = _with_token(file.adjust, Secret(made_up))
        settings = _settings(file)

    def ready() -> None:
        _announce(listeners, made_up, announce)

    return (_alone if alone else _supervised)(settings, file, listeners, ready)


def _announce(
    listeners: Listeners, made_up: str | None, announce: Callable[[str], None] | None
) -> None:
    address = _address(*listeners.api.getsockname()[:2])
    _say(f"listening on {address}")
    if listeners.admin is not None:
        _say(f"admin on {_address(*listeners.admin.getsockname()[:2])}")
        if made_up is not None:
            _say(f"admin token, for this run only: {made_up}")
    if listeners.ops is not None:
        _say(f"ops on {_address(*listeners.ops.getsockname()[:2])}")
    if announce is not None:
        announce(address)
    sys.stderr.flush()


def _alone(
    settings: Snapshot, file: ConfigFile, listeners: Listeners, ready: Callable[[], None]
) -> int:
    """Serve with this process, and ship with another."""
    from proxy import worker
    from proxy.core import log
    from proxy.host import SHIPPER, Host
    from proxy.supervisor.spawn import accompany

    host = None
    try:
        if settings.ledger.path:
            host = Host(settings, file)
            host.claim()
        leave = None
        if host is not None:
            leave = accompany(SHIPPER, lambda _, tether: _ship(settings, listeners, host, tether))
        # After the fork: it has a thread, which would not be there on the other side.
        log.configure(settings.logging)
        try:
            worker.serve(settings, file, listeners.api, listeners.admin, ready=ready)
        finally:
            if leave is not None:
                leave()
    except ValueError as error:
        log.close()
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    log.close()
    return 0


def _supervised(
    settings: Snapshot, file: ConfigFile, listeners: Listeners, ready: Callable[[], None]
) -> int:
    """Serve with processes of their own. One started later serves what was last read, not what was read first."""
    from proxy import worker
    from proxy.control.instance import Instance
    from proxy.core import berths, unix
    from proxy.host import SHIPPER, Host
    from proxy.supervisor.loop import Duties, Supervisor, Terms

    try:
        host = Host(settings, file)
        host.claim()
        worker.rehearse(settings, file)
        file.ops = host.folder / unix.OPS
        inside = unix.listen(file.ops)
    except ValueError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    ready()

    def serve(name: str, tether: Tether) -> None:
        if name == SHIPPER:
            _ship(settings, listeners, host, tether)
        else:
            _work(settings, file, listeners, name, tether)

    def reload() -> None:
        if file.read is not None:
            try:
                # With the store they have: another one takes a new start.
                file.config = file.read().model_copy(update={"store": file.config.store})
            except ValueError:
                pass  # changed again since; every worker will say so itself

    server = settings.server
    names = *map(str, range(berths.columns(server.workers))), SHIPPER
    instance = file.instance = Instance(names, server.workers)
    terms = Terms(server.workers, server.drain, worker.delay(server), server.watchdog)
    beside = (SHIPPER,) if host.records else ()
    duties = Duties(serve, reload, host.died, instance.died, beside)
    ops = [one for one in (listeners.ops, inside) if one is not None]
    try:
        return Supervisor(terms, duties, ops=ops, pages={"/metrics": instance.answer}).run()
    finally:
        unix.remove(host.folder / unix.OPS)
        host.leave()


def _work(
    settings: Snapshot, file: ConfigFile, listeners: Listeners, name: str, tether: Tether
) -> None:
    """In a process of its own: serve."""
    import faulthandler

    from proxy import worker
    from proxy.core import log
    from proxy.tether import TAKEN

    faulthandler.enable()
    log.configure(settings.logging)
    file.taken = lambda: tether.say(TAKEN)
    # What contradicts the store by now has been said; it is no reason not to take another worker's place.
    worker.serve(
        settings,
        file,
        listeners.api,
        listeners.admin,
        name=name,
        ready=tether.ready,
        strict=False,
        tether=tether,
    )
    log.close()


def _ship(settings: Snapshot, listeners: Listeners, host: Host, tether: Tether) -> None:
    """In a process of its own: bring what is written down to the database."""
    from proxy.core import log

    tether.follow()
    log.configure(settings.logging)
    listeners.close()
    host.ship(tether.ready)
    log.close()


def _say(line: str) -> None:
    """In one write: the log has a thread of its own, whose lines would come between a text and its end."""
    sys.stderr.write(line + "\n")


def _settings(file: ConfigFile) -> Snapshot:
    """What is needed before anything is served: listeners, workers, the log."""
    from proxy.state.snapshot import compile_snapshot

    nothing: dict[str, Any] = {"providers": {}, "models": {}, "keys": []}
    return file.adjust(compile_snapshot(file.config.model_copy(update=nothing)))


def _pinned(adjust: Adjust, begun: Snapshot) -> Adjust:
    """What all workers have in common is as it was at the start: a reload leaves it, and so does whoever starts later."""
    workers, path = begun.server.workers, begun.ledger.path

    def adjusted(snapshot: Snapshot) -> Snapshot:
        snapshot = adjust(snapshot)
        return replace(
            snapshot,
            server=replace(snapshot.server, workers=workers),
            ledger=replace(snapshot.ledger, path=path),
        )

    return adjusted


_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def _address(host: str, port: int) -> str:
    """The URL at which a listener is reached from this machine."""
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_token(adjust: Adjust, token: Secret) -> Adjust:
    """A reload keeps the token that was made up at the start."""

    def adjusted(snapshot: Snapshot) -> Snapshot:
        snapshot = adjust(snapshot)
        if snapshot.admin.token is not None:
            return snapshot
        return replace(snapshot, admin=replace(snapshot.admin, token=token))

    return adjusted
