"""Who listeners are: from the start, after another configuration, and when files change."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.control.renewing import Renewed, Terminations
from proxy.core.certificates import Unusable
from proxy.core.model import TLS, Admin, Server, Snapshot
from tests.core.test_certificates import REVOKED
from tests.line.harness import until
from tests.upstream.certificates import Authority

pytestmark = pytest.mark.allow_blocking("certificates are made in the loop")


class Files:
    """A certificate's place on disk."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.settings = TLS(str(folder / "tls.crt"), str(folder / "tls.key"))
        self.put()

    def put(self, days: int = 1) -> None:
        """Another one in its place."""
        certificate, key = self.authority.issue(days=days)
        shutil.move(certificate, self.settings.certificate)
        shutil.move(key, self.settings.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def listener(files: Files) -> Renewed:
    listener = Renewed("api")
    listener.begin(files.settings)
    return listener


def test_nothing_is_read_while_nothing_changes(listener: Renewed, files: Files) -> None:
    before = listener.identity

    listener.renew()
    listener.use(files.settings)

    assert before is not None
    assert listener.identity is before


def test_files_that_changed_are_read(listener: Renewed, files: Files) -> None:
    before = listener.identity

    files.put(days=5)
    listener.renew()

    assert before is not None
    assert listener.identity is not None
    assert listener.identity.expires > before.expires + 3 * 86400


def test_a_bad_file_leaves_what_there_was_and_is_said_once(
    listener: Renewed, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    before = listener.identity

    Path(files.settings.key).write_text("no key")
    with caplog.at_level(logging.ERROR, "headrace"):
        listener.renew()
        listener.renew()

    assert listener.identity is before
    (said,) = caplog.messages
    assert said.startswith("the api listener keeps the certificate it has: ")
    assert "there is no private key in it" in said
    files.put()
    listener.renew()
    assert listener.identity is not before


def test_other_files_are_read_at_once(listener: Renewed, tmp_path: Path) -> None:
    before = listener.identity
    folder = tmp_path / "other"
    folder.mkdir()

    listener.use(Files(folder).settings)

    assert listener.identity is not before


def test_tls_is_not_put_on_or_off_while_it_runs(
    listener: Renewed, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    plain = Renewed("admin")
    plain.begin(None)

    with caplog.at_level(logging.WARNING, "headrace"):
        listener.use(None)
        listener.use(None)
        plain.use(files.settings)

    assert [one.identity is None for one in (listener, plain)] == [False, True]
    assert caplog.messages == [
        "the api listener goes on with TLS: another takes a new start",
        "the admin listener goes on with plain HTTP: another takes a new start",
    ]
    plain.renew()
    assert plain.mark() is None
    assert plain.identity is None


def test_who_goes_on_with_tls_is_renewed(listener: Renewed, files: Files) -> None:
    before = listener.identity
    listener.use(None)

    files.put()
    listener.renew()

    assert listener.identity is not before


def test_who_cannot_begin_says_so(files: Files) -> None:
    Path(files.settings.certificate).unlink()

    with pytest.raises(Unusable, match="it cannot be read"):
        Terminations().begin(Snapshot(server=Server(tls=files.settings)))


def test_both_listeners_are_as_the_snapshot_says(files: Files) -> None:
    both = Terminations()
    before = both.spoken

    both.begin(Snapshot(admin=Admin(tls=files.settings), server=Server(head_timeout=3.0)))

    assert both.spoken > before
    assert both.api.identity is None
    assert both.admin.identity is not None
    assert both.api.patience == 3.0
    both.use(Snapshot(admin=Admin(tls=files.settings), server=Server(head_timeout=4.0)))
    assert both.admin.patience == 4.0


async def test_files_are_looked_at_and_read_when_they_have_settled(files: Files) -> None:
    both = Terminations()
    both.begin(Snapshot(server=Server(tls=files.settings)))
    before = both.api.identity
    looking = asyncio.ensure_future(both.keep(period=0.01))
    try:
        await asyncio.sleep(0)
        files.put()
        await until(lambda: both.api.identity is not before)
    finally:
        looking.cancel()


async def test_what_was_replaced_before_the_first_look_is_read(files: Files) -> None:
    both = Terminations()
    both.begin(Snapshot(server=Server(tls=files.settings)))
    before = both.api.identity
    files.put()
    looking = asyncio.ensure_future(both.keep(period=0.01))
    try:
        await until(lambda: both.api.identity is not before)
    finally:
        looking.cancel()


async def test_files_are_looked_at_when_some_could_not_be_used(
    files: Files, tmp_path: Path
) -> None:
    clients = tmp_path / "clients.pem"
    shutil.copy(files.authority.path, clients)
    both = Terminations()
    both.begin(Snapshot(server=Server(tls=replace(files.settings, client_ca=str(clients)))))
    before = both.api.identity
    looking = asyncio.ensure_future(both.keep(period=0.01))
    try:
        await asyncio.sleep(0)
        clients.write_bytes(clients.read_bytes() + REVOKED)
        await until(lambda: both.api.mark() == both.api.seen)
        assert both.api.identity is before

        shutil.copy(files.authority.path, clients)
        await until(lambda: both.api.identity is not before)
    finally:
        looking.cancel()
