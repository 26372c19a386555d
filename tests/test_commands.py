"""Commands on the database, as they are typed, and starts that the database forbids."""

from __future__ import annotations

import asyncio
import http.client
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from proxy import commands
from proxy.core import redact
from proxy.core.records import Kind, Record
from proxy.store import objects
from proxy.store.base import Store
from proxy.store.opening import open_store
from tests.line.harness import KEY, Process, config
from tests.test_cli import run

MASTER = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U"
OTHER = "aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG"
VIRTUAL = re.compile(r"sk-hr-[0-9A-Za-z]{8}-[0-9A-Za-z]{49}")


class Place:
    """A configuration file and its database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "h.yaml"
        self.database = folder / "data" / "h.db"
        self.write()

    def write(self, **changes: Any) -> None:
        store = {"url": f"sqlite:///{self.database}"}
        content = config("http://127.0.0.1:9", admin={"port": 0}, store=store, **changes)
        self.path.write_text(yaml.safe_dump(content))

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        done = run(*arguments, "--config", str(self.path))
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def change(self, work: Callable[[Store], Awaitable[Any]]) -> None:
        """Something done to the database."""

        async def main() -> None:
            store = open_store(f"sqlite:///{self.database}")
            await store.open()
            await work(store)
            await store.close()

        asyncio.run(main())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_configuration_is_looked_at_without_its_database(place: Place) -> None:
    for command in (("config", "check"), ("config", "show")):
        assert place.run(*command)[0] == 0

    assert not place.database.parent.exists()


def test_what_comes_from_outside_the_file_is_masked_whatever_its_header_is_called(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT", "blue-whale")
    monkeypatch.setenv("WHO", "odd-one")
    headers = {"X-Tenant": "${TENANT}", "X-Who": "Custom ${WHO}", "X-Title": "Headrace"}
    place.write(providers={"p0": {"headers": headers}})

    commands.read(place.path, quiet=True)
    said = redact.redact("Headrace: blue-whale, odd-one")
    redact.forget()

    assert said == "Headrace: ***, ***"


def test_a_database_is_brought_up_to_date(place: Place) -> None:
    code, out, _ = place.run("db", "status", "--json")
    assert code == 1
    assert orjson.loads(out)["pending"]
    assert not place.database.exists()

    assert place.run("db", "upgrade")[0] == 0

    code, out, _ = place.run("db", "status", "--json")
    assert (code, orjson.loads(out)["pending"]) == (0, [])


def test_a_key_is_made_listed_and_revoked(place: Place) -> None:
    code, out, error = place.run("keys", "create", "--name", "app", "--models", "sim*")
    key = out.strip()
    assert code == 0
    assert VIRTUAL.fullmatch(key)
    assert key not in error
    assert stat.S_IMODE((place.folder / "data" / "h.db.key").stat().st_mode) == 0o600

    code, out, _ = place.run("keys", "list", "--json")
    listed = {one["name"]: one for one in orjson.loads(out)}
    assert code == 0
    assert listed["app"]["models"] == ["sim*"]
    assert listed["test"]["source"] == "file"
    assert key not in out
    assert KEY not in out

    assert place.run("keys", "revoke", "app")[0] == 0
    assert place.run("keys", "revoke", "app")[0] == 2
    assert "app" not in place.run("keys", "list")[1]


def test_secrets_are_sealed_under_another_key(place: Place) -> None:
    place.write(secrets={"keys": [MASTER]})
    assert place.run("keys", "create", "--name", "app")[0] == 0
    place.write(secrets={"keys": [OTHER, MASTER]})

    code, out, _ = place.run("secrets", "rotate", "--json")

    assert code == 0
    assert (orjson.loads(out)["resealed"], orjson.loads(out)["left"]) == (1, {})
    place.write(secrets={"keys": [OTHER]})
    assert place.run("keys", "create", "--name", "another")[0] == 0


@pytest.mark.parametrize(
    "command",
    [("db", "status"), ("secrets", "rotate"), ("keys", "list")],
    ids=" ".join,
)
def test_without_a_database_there_is_nothing_to_do(place: Place, command: tuple[str, ...]) -> None:
    place.path.write_text("store: {url: ''}\n")

    code, _, error = place.run(*command)

    assert code == 2
    assert "store.url" in error


# --- starts that are refused, by one worker and by several ---


async def clash(store: Store) -> None:
    async with store.transaction() as session:
        revision = await objects.lock(session)
        for kind, name in ((Kind.MODEL, "sim*"), (Kind.KEY, "test")):
            revision += 1
            await objects.write(session, Record(kind, revision, revision, name=name))
        await objects.unlock(session, revision)


async def later(store: Store) -> None:
    await store.execute("UPDATE headrace_meta SET value = '99.0' WHERE key = 'schema'")


async def sealed(store: Store) -> None:
    await store.execute("INSERT INTO peppers (id, sealed, created) VALUES ('x', 'v1.x', 0)")


REFUSED: dict[str, tuple[Callable[[Store], Awaitable[Any]] | None, dict[str, Any], list[str]]] = {
    "names in file and database": (clash, {}, ["sim*", "test"]),
    "a later schema": (later, {}, ["99.0"]),
    "secrets without a key": (sealed, {}, ["secrets.keys", "h.db.key"]),
    "a short master key": (None, {"secrets": {"keys": ["short"]}}, ["master key"]),
    "the admin token as master key": (
        None,
        {"secrets": {"keys": [MASTER]}, "admin": {"token": MASTER, "port": 0}},
        ["master key"],
    ),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("why", REFUSED)
def test_a_start_that_the_database_forbids_is_refused_once(
    place: Place, why: str, workers: int
) -> None:
    spoil, changes, words = REFUSED[why]
    if spoil is not None:
        place.change(spoil)
    content = {**yaml.safe_load(place.path.read_text()), **changes}
    content["server"]["workers"] = workers
    place.path.write_text(yaml.safe_dump(content))

    code, out, error = place.run("serve")

    assert (code, out) == (2, "")
    for word in words:
        assert error.count(word) >= 1
    assert error.count("cannot be used") == 1
    assert "listening" not in error
    assert MASTER not in error


def test_a_key_file_that_others_can_read_is_refused(place: Place) -> None:
    assert place.run("keys", "create", "--name", "app")[0] == 0
    (place.folder / "data" / "h.db.key").chmod(0o644)

    code, _, error = place.run("serve")

    assert code == 2
    assert "chmod 600" in error


@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_made_here_is_served(place: Place, workers: int) -> None:
    content = config("http://127.0.0.1:9", server={"workers": workers})
    content["store"] = {"url": f"sqlite:///{place.database}"}
    _, out, _ = place.run("keys", "create", "--name", "app")
    one = Process(content, place.folder)

    try:
        assert asks(one, "sk-unknown") == 401
        assert asks(one, out.strip()) == 200
    finally:
        assert one.stop() == 0


def asks(one: Process, key: str) -> int:
    """The status of a list of models."""
    host, _, port = one.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("files", "variables", "found"),
    [
        (["provider.json", ".env"], {}, "provider.json"),
        ([".env"], {"AUTH_TOKEN": "x"}, ".env"),
        ([], {"AUTH_TOKEN": "x"}, "env:"),
        (["conf/headrace.yaml", "provider.json"], {"AUTH_TOKEN": "x"}, "conf/headrace.yaml"),
    ],
)
def test_without_a_file_of_ours_one_of_another_program_is_served(
    files: list[str],
    variables: dict[str, str],
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADRACE_CONFIG", "AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert commands.config_path(None) == Path(found)
