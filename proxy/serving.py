"""What `serve` and the demo have in common: listeners, what the host has once, and who serves.

`serve` has a supervisor above its workers, also above one; the demo is one process, with the shipper beside it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from proxy import commands
from proxy.commands import CONFIGURATION
from proxy.core import memory, resources
from proxy.core.secret import Secret
from proxy.listening import Listeners, say
from proxy.supervisor import handover

if TYPE_CHECKING:
    from proxy.control.sync import ConfigFile, Rehearsed
    from proxy.core.model import Snapshot
    from proxy.host import Host
    from proxy.supervisor.handover import Handover
    from proxy.tether import Tether

Adjust = Callable[["Snapshot"], "Snapshot"]


def run(file: ConfigFile, announce: Callable[[str], None] | None = None, *, alone: bool) -> int:
    """Serve until told to stop; the exit code. `announce` is called with the address once clients may come."""
    memory.share_heap()
    try:
        fixed, handed = handover.rehearsed(os.environ), handover.received(os.environ)
        settings = _settings(file)
        for warning in resources.check(settings.server):
            say(f"warning: {warning}")
        if fixed is not None:
            return _rehearsed(file, settings, fixed)
        _identify(file, settings)
        listeners = Listeners(settings, {} if handed is None else handed.listeners)
    except ValueError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    fixed = _fixed(settings) if handed is None else handed.fixed
    file.adjust = _pinned(file.adjust, fixed, settings)
    made_up = None if handed is None else handed.token
    if made_up is None and listeners.admin is not None and settings.admin.token is None:
        made_up = secrets.token_urlsafe(32)
    if made_up is not None:
        file.adjust = _with_token(file.adjust, Secret(made_up))
    settings = _settings(file)

    def ready() -> None:
        address = listeners.announce(made_up)
        if announce is not None:
            announce(address)
            sys.stderr.flush()

    _read_prices()
    if alone:
        return _alone(settings, file, listeners, ready)
    return _supervised(settings, file, listeners, ready, made_up, handed)


def _rehearsed(file: ConfigFile, settings: Snapshot, fixed: dict[str, Any]) -> int:
    """Whether a restart would do: everything is read and tried, and nothing is served. Raises ValueError, and OSError for a
    log that cannot be written."""
    from proxy import worker
    from proxy.core import log

    now = _fixed(settings)
    changed = [name for name, value in fixed.items() if now.get(name) != value]
    if changed:
        said = "\n".join(f"{name} was changed: that takes a stop and a start" for name in changed)
        raise ValueError(said)
    worker.rehearse(settings, file)
    log.bare(settings.logging)
    log.close()
    return 0


def _identify(file: ConfigFile, settings: Snapshot) -> None:
    """Read the certificates, for all processes. Raises ValueError."""
    from proxy.control.renewing import Terminations

    file.tls = Terminations()
    file.tls.begin(settings)


def _adjust(file: ConfigFile) -> None:
    """What a supervisor has of a configuration that is new."""
    from proxy.core import log

    settings = _settings(file)
    log.adjust(settings.logging)
    if file.tls is not None:
        file.tls.use(settings)


def _reread(file: ConfigFile) -> bool:
    """Take in what the file says by now, and whether that is anything else. Raises nothing: all workers end with their supervisor."""
    from proxy.core.log import logger

    if file.read is None:
        return False
    before = file.config
    try:
        # With the store they have: another one takes a new start.
        config = file.read().model_copy(update={"store": before.store})
        if config != before:  # else as another worker has said before
            file.config = config
            _adjust(file)
            return True
    except ValueError:
        pass  # changed again since; every worker will say so itself
    except Exception:
        logger.exception("the supervisor keeps the configuration it has")
    file.config = before
    return False


def _once(settings: Snapshot, file: ConfigFile) -> Rehearsed:
    """Begin once, in a process that is gone then with all that took. Raises ValueError when nobody could."""
    from proxy import worker
    from proxy.control.sync import Rehearsed
    from proxy.core.apart import apart

    def make() -> bytes:
        try:
            return b"+" + msgspec.msgpack.encode(worker.rehearse(settings, file, first=True))
        except ValueError as error:
            return b"-" + str(error).encode()

    made = apart(make)
    if made.startswith(b"-"):
        raise ValueError(made[1:].decode())
    return msgspec.msgpack.decode(made[1:], type=Rehearsed)


def _read_prices() -> None:
    """For all processes: each that would read them itself had 13 MiB more."""
    from proxy.core.apart import apart
    from proxy.state import prices

    def read() -> bytes:
        from proxy.state import price_reading

        return price_reading.read()

    try:
        prices.use(apart(read))
    except OSError as error:
        say(f"warning: every process reads the price list by itself: {error}")


def _fixed(settings: Snapshot) -> dict[str, Any]:
    """What processes of one start have in common, or have inherited."""
    server, admin = settings.server, settings.admin
    return {
        "server.host": server.host,
        "server.port": server.port,
        "server.workers": server.workers,
        "server.ops": [server.ops.host, server.ops.port],
        "admin.host": admin.host,
        "admin.port": admin.port,
        "ledger.path": settings.ledger.path,
    }


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
            host.claim(alone=True)
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
    settings: Snapshot,
    file: ConfigFile,
    listeners: Listeners,
    ready: Callable[[], None],
    token: str | None,
    handed: Handover | None,
) -> int:
    """Serve with processes of their own. One started later serves what was last read, not what was read first."""
    from proxy import worker
    from proxy.control.instance import Instance
    from proxy.core import berths, log, unix
    from proxy.host import SHIPPER, Host
    from proxy.supervisor.loop import Supervisor
    from proxy.supervisor.staff import Duties, Terms

    host = Host(settings, file)
    try:
        if handed is None:
            host.claim()
            worker.prepare(settings, file)
            file.rehearsed = _once(settings, file)
        else:
            worker.prepare(settings, file)
            host.take(handed.folder, handed.lock, handed.board, handed.bells)
        file.ops = host.folder / unix.OPS
        if listeners.inside is None:
            listeners.inside = unix.listen(file.ops)
    except ValueError as error:
        if handed is None:  # else workers run in it
            host.leave()
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    # It has no thread, for it forks. Whoever it forks configures a log of its own.
    log.bare(settings.logging)

    def serve(name: str, tether: Tether) -> None:
        if name == SHIPPER:
            _ship(settings, listeners, host, tether)
        else:
            _work(settings, file, listeners, name, tether)

    def terms() -> Terms:
        server = _settings(file).server
        return Terms(server.workers, server.drain, worker.delay(server), server.watchdog)

    def reload() -> Terms | None:
        return terms() if _reread(file) else None

    server = settings.server
    names = *map(str, range(berths.columns(server.workers))), SHIPPER
    instance = file.instance = Instance(
        names, server.workers, None if handed is None else handed.metrics
    )

    def renew(processes: list[handover.Process], beats: int) -> None:
        handover.become(
            handover.Handover(
                processes,
                listeners.descriptors(),
                beats,
                host.lock,
                str(host.folder),
                host.board,
                instance.handed(),
                token,
                _fixed(settings),
                list(host.bells),
            )
        )

    beside = (SHIPPER,) if host.records else ()
    duties = Duties(
        serve,
        reload=reload,
        died=host.died,
        ended=instance.died,
        shut=listeners.shut,
        rehearse=lambda: handover.rehearse(_fixed(settings)),
        renew=renew,
        beside=beside,
    )
    ops = [one for one in (listeners.ops, listeners.inside) if one is not None]
    pages = {"/metrics": instance.answer, "/stats": instance.stats, "/live": instance.live}
    try:
        supervisor = Supervisor(terms(), duties, ops=ops, pages=pages, handed=handed)
        return supervisor.run(ready if handed is None else lambda: None)
    finally:
        unix.remove(host.folder / unix.OPS)
        host.leave()
        log.close()


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


def _settings(file: ConfigFile) -> Snapshot:
    """What is needed before anything is served: listeners, workers, the log."""
    from proxy.state.snapshot import compile_snapshot

    nothing: dict[str, Any] = {"providers": {}, "models": {}, "keys": []}
    return file.adjust(compile_snapshot(file.config.model_copy(update=nothing)))


def _pinned(adjust: Adjust, fixed: dict[str, Any], begun: Snapshot) -> Adjust:
    """What all workers have in common is as it was at the start: a reload leaves it, and so does whoever starts later. Where
    two of them counted in different places, each would give out all of a limit."""

    def adjusted(snapshot: Snapshot) -> Snapshot:
        snapshot = adjust(snapshot)
        server, admin, ledger = snapshot.server, snapshot.admin, snapshot.ledger
        return replace(
            snapshot,
            server=replace(
                server,
                host=fixed["server.host"],
                port=fixed["server.port"],
                workers=fixed["server.workers"],
            ),
            admin=replace(admin, host=fixed["admin.host"], port=fixed["admin.port"]),
            ledger=replace(
                ledger, path=fixed["ledger.path"], size=begun.ledger.size, sync=begun.ledger.sync
            ),
            shared=begun.shared,
        )

    return adjusted


def _with_token(adjust: Adjust, token: Secret) -> Adjust:
    """A reload keeps the token that was made up at the start."""

    def adjusted(snapshot: Snapshot) -> Snapshot:
        snapshot = adjust(snapshot)
        if snapshot.admin.token is not None:
            return snapshot
        return replace(snapshot, admin=replace(snapshot.admin, token=token))

    return adjusted
