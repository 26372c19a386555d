"""A provider with one key is a group without models."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.control.admin.compat.plain import Words, every, find, group_of
from proxy.control.admin.compat.spelled import Given
from proxy.control.admin.web import Problem
from tests.control.admin.foreign import open_foreign

WORDS = Words({"baseUrl": "url"}, {"url": "baseUrl", "secret": "apiKeys"})


def test_their_fields_are_a_groups_and_one_key_is_a_list_of_one() -> None:
    said = Given({"url": "https://a", "secret": "k", "other": 1}, ("odd",))

    assert group_of(said, WORDS) == Given({"baseUrl": "https://a", "apiKeys": ["k"]}, ("odd",))
    assert group_of(Given({}), WORDS) == Given({})


async def test_one_is_found_by_id_and_by_name_and_else_it_is_said_why_not(tmp_path: Path) -> None:
    async with open_foreign(tmp_path) as desk:
        body = {"name": "p", "preset": "openai"}
        id = (await desk.owner("POST", "/admin/providers", body)).json["id"]

        assert find("p", desk.services).provider.id == id
        assert find(str(id), desk.services).provider.name == "p"
        for target, status in (("from-file", 409), ("nobody", 404)):
            with pytest.raises(Problem) as caught:
                find(target, desk.services)
            assert caught.value.status == status


async def test_all_are_shown_the_files_first_and_then_in_the_order_they_were_made(
    tmp_path: Path,
) -> None:
    async with open_foreign(tmp_path) as desk:
        ids = [
            (await desk.owner("POST", "/admin/providers", {"name": name, "preset": "openai"})).json[
                "id"
            ]
            for name in ("b", "a")
        ]
        # What was changed last stands last in memory.
        await desk.owner("PATCH", "/admin/providers/b", {"note": "changed"})

        shown = await every(desk.services)

    assert [(one["groupName"], one["id"]) for one in shown] == [
        ("from-file", None),
        ("b", ids[0]),
        ("a", ids[1]),
    ]
