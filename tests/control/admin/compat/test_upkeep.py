"""Reload, reset and clear by AiRouter's calls do what the native ones do, and say it in its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.control.admin.access import Role
from tests.control.admin.foreign import open_foreign

CALLS = {
    "/v1/stats/refresh": "Configuration refreshed",
    "/v1/stats/reset": "Statistics reset",
    "/v1/models/clear-cache": "Caches cleared",
    "/admin/stats/refresh": "Configuration refreshed",
    "/admin/models/clear-cache": "Caches cleared",
}


@pytest.mark.parametrize("path", CALLS)
async def test_every_worker_has_done_it(tmp_path: Path, path: str) -> None:
    async with open_foreign(tmp_path) as desk:
        viewer = await desk.token("viewer", Role.VIEWER)
        operator = await desk.token("operator", Role.OPERATOR)

        refused = await desk.ask("POST", path, who=viewer)
        said = await desk.ask("POST", path, who=operator)

    assert refused.status == 403
    assert said.status == 200
    content = said.json
    assert content["message"] == CALLS[path]
    assert content["missing"] == []
    assert [one["name"] for one in content["workers"]] == ["0"]


async def test_a_refresh_reads_the_file_anew(tmp_path: Path) -> None:
    async with open_foreign(tmp_path) as desk:
        before = desk.services.sync.version

        content = (await desk.owner("POST", "/v1/stats/refresh")).json

        assert desk.services.sync.version > before
    assert content["models_count"] == 1
