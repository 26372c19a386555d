"""The master keys are found, made once, or asked for; nothing begins without one that it needs."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.core import redact
from proxy.core.config.loading import parse
from proxy.core.config.schema import Config
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.store import keyring
from proxy.store.opening import open_store
from tests.ledger.samples import files_of_at_most

KEY = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U"
OTHER = "aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG"
PLACE = "provider/1"

Settings = Callable[..., Config]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    redact.forget()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """`settings("secrets: …")` of an SQLite database under tmp_path, or of `url`."""

    def make(text: str = "", url: str = f"sqlite:///{tmp_path}/h.db") -> Config:
        return parse(f"store: {{url: '{url}'}}\n{text}", env={}).config

    return make


def opens(vault: Vault | None, sealed: str) -> bool:
    assert vault is not None
    return vault.open(sealed, PLACE) == b"value"


def test_keys_that_are_given_are_used(settings: Settings) -> None:
    sealed = Vault([Secret(KEY)]).seal(b"value", PLACE)

    found = keyring.vault(settings(f"secrets: {{keys: [{OTHER}, {KEY}]}}"), sealed=True)

    assert opens(found, sealed)
    assert found is not None
    assert found.kids[0] == Vault([Secret(OTHER)]).kids[0]


def test_a_file_may_hold_more_of_them(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{OTHER}\n\n{KEY}\n")
    path.chmod(0o640)
    sealed = Vault([Secret(KEY)]).seal(b"value", PLACE)

    assert opens(keyring.vault(settings(f"secrets: {{file: {path}}}"), sealed=None), sealed)


def test_a_database_without_secrets_gets_a_key_of_its_own(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = keyring.vault(settings(), sealed=False)
    again = keyring.vault(settings(), sealed=True)

    path = tmp_path / "h.db.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first is not None
    assert opens(again, first.seal(b"value", PLACE))
    assert [path.name for path in tmp_path.iterdir()] == ["h.db.key"]
    assert str(path) in caplog.text
    assert path.read_text().strip() not in caplog.text


def test_a_key_is_made_where_there_are_no_links(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)

    made = keyring.vault(settings(), sealed=False)

    assert made is not None
    assert opens(keyring.vault(settings(), sealed=True), made.seal(b"value", PLACE))
    assert [path.name for path in tmp_path.iterdir()] == ["h.db.key"]
    assert stat.S_IMODE((tmp_path / "h.db.key").stat().st_mode) == 0o600


def test_a_key_that_cannot_be_made_is_asked_for(settings: Settings, tmp_path: Path) -> None:
    with (
        files_of_at_most(10),
        pytest.raises(ValueError, match=r"h\.db\.key .*too large.* into secrets\.keys"),
    ):
        keyring.vault(settings(), sealed=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_used_to_seal_is_kept_out_of_the_log(settings: Settings, tmp_path: Path) -> None:
    keyring.vault(settings(), sealed=False)

    key = (tmp_path / "h.db.key").read_text().strip()
    assert redact.redact(f"with {key}") == "with ***"


def test_no_key_is_made_while_the_database_cannot_be_asked(
    settings: Settings, tmp_path: Path
) -> None:
    assert keyring.vault(settings(), sealed=None) is None
    assert list(tmp_path.iterdir()) == []


def test_secrets_without_a_key_are_no_beginning(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"restore .*h\.db\.key") as error:
        keyring.vault(settings(), sealed=True)

    assert "secrets.keys" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_postgresql_has_no_key_of_its_own(settings: Settings) -> None:
    config = settings(url="postgresql://u@h/d")

    assert keyring.vault(config, sealed=False) is None
    with pytest.raises(ValueError, match=r"put the key it was used with into secrets\.keys"):
        keyring.vault(config, sealed=True)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_key_of_ours_that_others_can_read_is_refused(
    settings: Settings, tmp_path: Path, mode: int
) -> None:
    keyring.vault(settings(), sealed=False)
    (tmp_path / "h.db.key").chmod(mode)

    with pytest.raises(ValueError, match="chmod 600"):
        keyring.vault(settings(), sealed=True)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_file_that_anybody_can_read_is_refused(
    settings: Settings, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "keys"
    path.write_text(KEY)
    path.chmod(mode)

    with pytest.raises(ValueError, match="open to others") as error:
        keyring.vault(settings(f"secrets: {{file: {path}}}"), sealed=None)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "no text")],
)
def test_a_file_that_holds_no_key_is_refused(
    settings: Settings, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)

    with pytest.raises(ValueError, match=said):
        keyring.vault(settings(f"secrets: {{file: {path}}}"), sealed=None)


@pytest.mark.parametrize(
    "text",
    [
        "secrets: {keys: [tooshort]}",
        "secrets: {keys: [change-me-change-me-change-me-change-me]}",
        f"secrets: {{keys: [{KEY}]}}\nadmin: {{token: {KEY}}}",
        f"secrets: {{keys: [{KEY}]}}\nadmin: {{password: {KEY}}}",
    ],
    ids=["short", "placeholder", "the admin token", "the admin password"],
)
def test_a_key_that_protects_nothing_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(ValueError, match="master key") as error:
        keyring.vault(settings(text), sealed=None)
    assert KEY not in str(error.value)


async def test_a_database_says_whether_it_holds_secrets(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    assert not await keyring.holds_secrets(store)

    await store.execute(
        "INSERT INTO objects (kind, id, revision, sealed, created, updated)"
        " VALUES ('credential', 1, 1, 'v1.x', 0, 0)"
    )

    assert await keyring.holds_secrets(store)
    await store.close()


def test_the_same_keys_are_the_same_vault(settings: Settings) -> None:
    old = Vault([Secret(KEY)])

    assert keyring.replaced(old, settings(f"secrets: {{keys: [{KEY}]}}"), []) is old


def test_a_file_that_says_something_else_by_now_is_heard(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{OTHER}\n{KEY}\n")
    file.chmod(0o600)
    old = Vault([Secret(KEY)])

    new = keyring.replaced(old, settings(f"secrets: {{file: {file}}}"), [old.seal(b"x", PLACE)])

    assert new is not None
    assert new.kids == Vault([Secret(OTHER), Secret(KEY)]).kids


@pytest.mark.parametrize("keys", ["[]", f"[{OTHER}]"])
def test_a_key_is_not_taken_out_while_something_is_under_it(settings: Settings, keys: str) -> None:
    old, other = Vault([Secret(KEY)]), Vault([Secret(OTHER)])
    config = settings(f"secrets: {{keys: {keys}}}", "postgresql://h/d")
    sealed = [old.seal(b"x", PLACE), other.seal(b"y", PLACE), old.seal(b"z", PLACE)]

    with pytest.raises(ValueError, match=r"secrets\.keys") as refused:
        keyring.replaced(old, config, sealed)

    assert KEY not in str(refused.value)
    if OTHER in keys:
        assert f"2 values in the database are still under master key {old.kids[0]}" in str(
            refused.value
        )
        assert keyring.replaced(old, config, sealed[1:2]) is not old
