"""What is wrong with limits, prices and the ledger beyond a single value: two periods, a name that is taken, no server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from proxy.core.config import values
from proxy.core.config.names import PAGES
from proxy.core.config.plain import Table, table
from proxy.core.config.problem import Fault, printable
from proxy.core.url import login_encoded

SCHEMES = ("redis", "rediss", "valkey", "unix")
"""Of a server that holds limits for several hosts."""


def budget(block: Table) -> Iterator[Fault]:
    """Of one that has a budget: everything, a team, a key."""
    said = table(block.get("budget"))
    if said.get("period") is not None and said.get("cron") is not None:
        yield Fault(("budget", "cron"), "period or cron", "both", "remove one")


def price(said: Any) -> Iterator[Fault]:
    """Of one price."""
    block = table(said)
    plain = any(value is not None for name, value in block.items() if name != "above")
    if table(block.get("above")) and not plain:
        expected = "the prices of a short prompt too"
        yield Fault(("above",), expected, "none", "add input and output beside above")


def sections(data: Table) -> Iterator[Fault]:
    """Of the sections of a file."""
    for where in (("limits",), *(("teams", name) for name in table(data.get("teams")))):
        block = table(data.get("teams")).get(where[1]) if len(where) > 1 else data.get("limits")
        yield from _under(where, budget(table(block)))
    for name, block in table(data.get("prices")).items():
        yield from _under(("prices", name), price(block))
        if "*" in name[:-1]:
            expected, found = "at most one '*', at the end of the name", repr(printable(name))
            yield Fault(("prices", name), expected, found, key=True)
    unknown = table(data.get("defaults")).get("price_unknown")
    yield from _under(("defaults", "price_unknown"), price(unknown))
    for section in ("teams", "prices"):
        for name in PAGES.union({"name"}).intersection(table(data.get(section))):
            expected = f"a name of its own under {section}"
            yield Fault((section, name), expected, f"{name!r}, which the admin API has", key=True)
    yield from _shared(table(data.get("shared")).get("url"))
    yield from _ledger(data)


def _under(where: tuple[str, ...], faults: Iterator[Fault]) -> Iterator[Fault]:
    for fault in faults:
        yield fault._replace(where=(*where, *fault.where))


def _shared(url: Any) -> Iterator[Fault]:
    """Nothing of the URL is in the words: it may hold a password."""
    if not isinstance(url, str) or not url.strip():
        return
    where = ("shared", "url")
    usual = "write redis://:password@host:6379/0"
    try:
        parts = urlsplit(login_encoded(url.strip()))
        has_place = bool(parts.path if parts.scheme == "unix" else parts.hostname)
        is_url = has_place and (parts.port is None or parts.port > 0)
    except ValueError:
        yield Fault(where, "a URL", "text that is none", usual)
        return
    if parts.scheme not in SCHEMES:
        yield Fault(where, f"a URL that begins with {', '.join(SCHEMES)}", "another one", usual)
    elif not is_url:
        yield Fault(where, "a URL with a host", "one without", usual)


def _ledger(data: Table) -> Iterator[Fault]:
    store = table(data.get("store")).get("url")
    path = table(data.get("ledger")).get("path")
    if isinstance(path, str) and path.strip() and isinstance(store, str) and not store.strip():
        expected = "no path, because there is no store that what is written there could go to"
        yield Fault(("ledger", "path"), expected, "one", "remove it, or set store.url")
    try:
        size = values.spool_size(table(data.get("ledger"))["size"])
        workers = values.workers(table(data.get("server"))["workers"])
    except (KeyError, values.Unfit):
        return  # said elsewhere, or as usual
    least = workers * values.SPOOL_PER_WORKER
    if size < least:
        expected = f"{least >> 20}MiB or more for {workers} workers"
        yield Fault(("ledger", "size"), expected, f"{size >> 20}MiB")
