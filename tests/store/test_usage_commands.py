"""`headrace usage import`: what another gateway counted is used here, too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.core import clock
from proxy.core.config import load
from proxy.core.config.schema import Config
from proxy.store import usage_commands
from proxy.store.ledger import windows
from proxy.store.opening import open_store
from proxy.store.usage_commands import Counted, read

ENTRY = {"requests": 42, "tokens": 15680}
PROVIDER = {
    "name": "provider-1",
    "endpoint": "https://api.example.com/v1",
    "api_key": "sk-1",
    "model": "gpt-4o",
    "rate_limit": {"requests_per_period": 100, "period_cron": "0 0 * * *"},
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    models = {
        "gpt-4o": {"providers": [PROVIDER, {**PROVIDER, "name": "provider-2"}]},
        # The same name for another account: it has got the model's beside it.
        "mini": {"providers": [{**PROVIDER, "api_key": "sk-2"}]},
    }
    file = tmp_path / "provider.json"
    file.write_bytes(orjson.dumps({"_global": {}, **models}))
    found = load(file, {"TZ": "UTC"}).config
    store = found.store.model_copy(update={"url": f"sqlite:///{tmp_path}/h.db"})
    return found.model_copy(update={"store": store})


def today(hour: int = 0) -> str:
    return datetime.fromtimestamp(clock.now(), UTC).strftime(f"%Y-%m-%dT{hour:02}:00:00")


def counted(config: Config) -> dict[str, tuple[int, int]]:
    """By the subject, requests and tokens in the window that runs, as another host learns them."""

    async def ask() -> dict[str, tuple[int, int]]:
        store = open_store(config.store.url)
        await store.open()
        try:
            async with store.transaction() as session:
                found = await windows.elsewhere(session, "here", clock.now())
        finally:
            await store.close()
        return {charge.subject: (used.requests, used.tokens) for charge, used in found}

    return asyncio.run(ask())


def write(place: Path, content: Any) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(orjson.dumps(content))
    return place


def test_what_its_statistics_say_is_used_and_counts_once(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {**ENTRY, "last_reset": today(), "limit_requests": 100}
    stats = {
        "gpt-4o": {"provider-1": entry, "provider-2": {**entry, "requests": 7}},
        "mini": {"provider-1": {**entry, "requests": 3}},
        "gone": {"provider-9": entry},
    }
    file = write(tmp_path / "stats.json", stats)

    assert usage_commands.take(config, file) == 0
    assert usage_commands.take(config, file, as_json=True) == 0

    assert counted(config) == {
        "deployment:gpt-4o/0:provider-1": (42, 15680),
        "deployment:gpt-4o/1:provider-2": (7, 15680),
        "deployment:mini/0:provider-1 (mini)": (3, 15680),
    }
    out, err = capsys.readouterr()
    assert "not taken: gone, provider-9" in err
    assert "3 had been taken before" in err
    assert len(orjson.loads(out)["taken"]) == 3


def test_a_period_that_has_ended_is_not_taken(config: Config, tmp_path: Path) -> None:
    old = {**ENTRY, "last_reset": "2024-01-15T00:00:00"}
    file = write(tmp_path / "stats.json", {"gpt-4o": {"provider-1": old}})

    assert usage_commands.take(config, file) == 2
    assert not (tmp_path / "h.db").exists() or counted(config) == {}


def test_a_time_that_is_none_is_said_with_whose_it_is(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"gpt-4o": {"provider-1": {**ENTRY, "last_reset": "yesterday"}}}

    assert usage_commands.take(config, write(tmp_path / "stats.json", odd)) == 2

    said = capsys.readouterr().err
    assert "gpt-4o, provider-1: last_reset: expected a time such as 2027-01-31T00:00:00" in said
    assert "found 'yesterday'" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all.json", {"gpt-4o": {"provider-1": ENTRY}}),
        ("usage.json", {"usage": {"gpt-4o": {"provider-1": ENTRY}}}),
        ("gpt-4o.json", {"provider-1": ENTRY}),
        ("gpt-4o_provider-1.json", ENTRY),
        ("provider-1.gpt-4o.json", ENTRY),
        ("x.json", {**ENTRY, "model": "gpt-4o", "provider": "provider-1"}),
    ],
)
def test_a_folder_is_read_however_its_files_are_named(
    config: Config, tmp_path: Path, name: str, content: Any
) -> None:
    folder = tmp_path / "data" / "usage"
    write(folder / name, content)

    assert usage_commands.take(config, folder) == 0
    assert counted(config) == {"deployment:gpt-4o/0:provider-1": (42, 15680)}


@pytest.mark.parametrize("content", [b"", b"no json", b"{}"])
def test_what_says_nothing_is_said(config: Config, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "stats.json"
    file.write_bytes(content)

    assert usage_commands.take(config, file) == (0 if content == b"{}" else 2)
    assert usage_commands.take(config, tmp_path / "nowhere") == 2


def test_figures_that_are_none_are_nothing(tmp_path: Path) -> None:
    odd = {"m": {"p": {"requests": -3, "tokens": "many"}, "q": {"requests": 2.0}}}

    assert read(write(tmp_path / "s.json", odd)) == [
        Counted("m", "p", 0, 0),
        Counted("m", "q", 2, 0),
    ]
