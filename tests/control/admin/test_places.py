"""Where in the configuration file each object stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.control.admin import places
from proxy.core.config import load
from tests.control.admin.desk import open_desk

FILE = """\
server: {port: 0}
providers:
  lab:
    base_url: http://127.0.0.1:9
    allow_private: true
    credentials:
      - one-secret-of-lab
      - key: another-of-lab
models:
  first: {deployments: [{provider: lab}]}
  second:
    deployments:
      - provider: lab
      - provider: lab
        model: other
keys:
  - {name: app, key: sk-client-0123456789}
  - name: other
    key: sk-another-0123456789
health: {enabled: false}
"""


def test_each_object_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(FILE)

    assert places.lines(file, load(file).config) == {
        "section": {"health": 20, "keys": 16, "models": 9, "providers": 2, "server": 1},
        "provider": {"lab": 3},
        "credential": {"lab#0": 7, "lab#1": 8},
        "model": {"first": 10, "second": 11},
        "deployment": {"first/0:lab": 10, "second/0:lab": 13, "second/1:lab": 14},
        "key": {"app": 17, "other": 18},
        "setting": {"health": 20},
    }


@pytest.mark.parametrize("now", ["models: {first: {}}\n", "a: [", "", "- 1\n", None])
def test_what_is_not_in_the_file_now_has_none(tmp_path: Path, now: str | None) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(FILE)
    config = load(file).config
    if now is None:
        file.unlink()
    else:
        file.write_text(now)

    found = places.lines(file, config)

    assert found.get("model", {}) == ({"first": 1} if now and now.startswith("models") else {})
    assert found.get("provider", {}) == {}


def test_a_long_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(FILE)
    monkeypatch.setattr(places, "LIMIT", 100)

    assert places.lines(file, load(file).config) == {}


async def test_it_is_said_which_file_it_is(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(FILE)
    config = load(file).config
    async with open_desk(tmp_path, places.ROUTES) as desk:
        without = await desk.owner("GET", "/admin/config/file")
        desk.services.sync.path, desk.services.sync.config = str(file), config
        said = await desk.owner("GET", "/admin/config/file")

    assert without.json == {"path": None, "lines": {}}
    assert said.json["path"] == str(file)
    assert said.json["lines"]["section"]["server"] == 1
