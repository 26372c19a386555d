"""Runs every coroutine test on uvloop, and fails the one that blocks it for more than 50 ms.

A test with a reason to block says so: `@pytest.mark.allow_blocking("hashes a password on purpose")`.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest
import uvloop.loop

from tests.guards.watch import Watch

MARK = "allow_blocking"

FAILED = pytest.StashKey[bool]()
"""Whether the test that is about to be cleaned up has failed."""

SERVER: type[asyncio.Server] = uvloop.loop.Server  # type: ignore[attr-defined]
TRANSPORT: type[asyncio.Transport] = uvloop.loop.UVBaseTransport  # type: ignore[attr-defined]

EVERY = 100
"""Tests between two full collections."""

finished = 0
watch = Watch()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(reason): this test may block the event loop")
    if not config.getoption("usepdb"):  # a person at a prompt takes longer
        watch.start()


def pytest_unconfigure() -> None:
    watch.stop()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    return {"uvloop": watch.new_loop}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Look for no garbage meanwhile: of tens of thousands of tests none is any, and to find that out takes a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers(MARK):
            if not (mark.args or mark.kwargs.get("reason")):
                raise pytest.UsageError(f"{item.nodeid}: {MARK} needs a reason")


def pytest_collection_finish() -> None:
    """Take what was imported out of the collector's work: a full collection of it would block the loop."""
    _collect()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)  # full ones are ours to make, between two tests


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    global finished
    finished += 1
    if finished % EVERY == 0:
        _collect()


def _collect() -> None:
    """What is left stays: with thousands of tests in one process it grows, and so would every collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    return (yield from _guarded(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    try:
        return (yield from _guarded(item))
    except Exception:
        item.stash[FAILED] = True
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    if item.stash.get(FAILED, False):
        item.stash[FAILED] = False
        _let_go()
    return (yield from _guarded(item))


def _let_go() -> None:
    """Of the connections and listeners a test had that failed. A loop that is closed over open ones fails as well, or never
    comes to an end, and what is said of that is said of the next test, which may be the same once more.
    """
    for one in gc.get_objects():
        if isinstance(one, SERVER):
            one.close()
        elif isinstance(one, TRANSPORT):
            one.abort()


def _guarded(item: pytest.Item) -> Generator[None]:
    watch.take()
    yield  # a test that fails by itself has said enough
    blocks = watch.take()
    if blocks and item.get_closest_marker(MARK) is None:
        pytest.fail("\n".join(map(str, blocks)), pytrace=False)
