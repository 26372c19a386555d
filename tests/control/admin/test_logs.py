"""Requests are not kept, and the page says where they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.control.admin.foreign import open_foreign


@pytest.mark.parametrize(
    ("logging", "says"),
    [
        ({}, "standard error"),
        ({"file": "/tmp/headrace-test.log"}, "the file /tmp/headrace-test.log"),
        ({"requests": False}, "logging.requests is false"),
    ],
)
@pytest.mark.parametrize("path", ["/admin/logs", "/api/logs"])
async def test_an_empty_page_says_where_to_look(
    tmp_path: Path, logging: dict[str, Any], says: str, path: str
) -> None:
    async with open_foreign(tmp_path, logging=logging) as desk:
        content = (await desk.owner("GET", path)).json
        stranger = await desk.ask("GET", path)

    assert (content["items"], content["next"]) == ([], None)
    assert says in content["note"]
    assert stranger.status == 401
