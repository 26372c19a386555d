"""From a URL to a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.store.base import StoreBroken, StoreDown
from proxy.store.opening import check, open_store, sqlite_path, without_password


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///state/headrace.db", "state/headrace.db"),
        ("sqlite:////var/lib/headrace.db", "/var/lib/headrace.db"),
        ("sqlite:////a%20b/c.db", "/a b/c.db"),
        ("sqlite:////a b#c/d.db", "/a b#c/d.db"),
        ("sqlite+aiosqlite:////a.db", "/a.db"),
    ],
)
def test_a_file_is_named_as_elsewhere(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)
    assert open_store(url).backend == "sqlite"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "POSTGRES"])
def test_postgresql_has_several_names(scheme: str) -> None:
    assert open_store(f"{scheme}://user@db/name").backend == "postgresql"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "headrace.db",
        "mysql://a/b",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/file.db",
        "sqlite:///file.db?mode=memory",
    ],
)
def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/name", "postgresql://db/name"),
        ("postgresql://me@db:5432/name", "postgresql://me@db:5432/name"),
        ("postgresql://me:a-river@db/name", "postgresql://me@db/name"),
        ("postgresql://me:a-river@a:1,b:2/name", "postgresql://me@a:1,b:2/name"),
        ("postgresql://me:a/ri?v#er@db/name", "postgresql://me@db/name"),
        ("postgresql://me:a@river@db/name", "postgresql://me@db/name"),
        (
            "postgresql://db/name?password=a-river&sslmode=require",
            "postgresql://db/name?sslmode=require",
        ),
        ("postgresql://db/name?sslpassword=a-river", "postgresql://db/name"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert open_store(url).url == shown


@pytest.mark.parametrize(
    "url", ["postgresql://me:a-river@[db/name", "postgresql://me@db:a-river/name"]
)
async def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    store = open_store(url)

    with pytest.raises(StoreBroken, match="percent-encoded") as caught:
        await store.open()

    assert "river" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_server_that_is_not_there_is_down(unused_tcp_port: int) -> None:
    store = open_store(f"postgresql://me:a-river@127.0.0.1:{unused_tcp_port}/name")

    for call in (store.open(), store.fetch("SELECT 1"), store.execute("SELECT 1")):
        with pytest.raises(StoreDown, match=r"^PostgreSQL: ") as caught:
            await call
        assert "river" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "größer 🌊", 0, 2**63 - 1, -(2**63), 1.5, True, b"\0"])
def test_ordinary_values_are_taken(value: object) -> None:
    check((value,))


@pytest.mark.parametrize(
    "value", ["\0", "a\0", "\ud800", 2**63, -(2**63) - 1, float("nan"), float("inf")]
)
def test_a_value_that_not_both_databases_take_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogate|64 bits|no end"):
        check(("fine", value))
