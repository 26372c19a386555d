"""`/v1/db` answers as AiRouter documents it, field by field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from tests.control.admin.desk import Desk, Said
from tests.control.admin.foreign import open_foreign

MODELS, PROVIDERS = "/v1/db/models", "/v1/db/providers"
PROVIDER = {"name": "OpenAI", "api_key": "your-api-key", "base_url": "https://api.openai.com/v1"}
MODEL: dict[str, Any] = {"name": "gpt-4", "llm_type": "chat", "description": "GPT-4 模型"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_foreign(tmp_path) as one:
        yield one


async def post(desk: Desk, path: str, body: Any) -> Said:
    said = await desk.owner("POST", path, body)
    assert said.status == 200, said.body
    return said


async def provider(desk: Desk, **changes: Any) -> int:
    return int((await post(desk, PROVIDERS, {**PROVIDER, **changes})).json["id"])


async def test_a_model_with_a_provider(desk: Desk) -> None:
    id = await provider(desk)

    said = await post(
        desk,
        MODELS,
        {**MODEL, "provider_id": id, "provider_weight": 10, "is_provider_preferred": True},
    )

    content = said.json
    assert content == {
        "message": "Model created successfully",
        "id": content["id"],
        "name": "gpt-4",
        "provider_info": {
            "provider_id": id,
            "provider_name": "OpenAI",
            "weight": 10,
            "is_preferred": True,
        },
    }
    assert isinstance(content["id"], int)
    assert "x-headrace-not-kept" not in said.headers
    served = desk.services.state.snapshot.models["gpt-4"]
    assert (served.type, served.description) == ("chat", "GPT-4 模型")
    assert (served.tiers[0][0].priority, served.tiers[0][0].weight) == (0, 10)


async def test_a_model_without_a_provider_is_kept_and_not_served(desk: Desk) -> None:
    content = (await post(desk, MODELS, MODEL)).json

    assert content == {
        "message": "Model created successfully",
        "id": content["id"],
        "name": "gpt-4",
    }
    assert "gpt-4" not in desk.services.state.snapshot.models
    listed = (await desk.owner("GET", MODELS)).json["models"]
    assert [(one["name"], one["providers"]) for one in listed if one["id"]] == [("gpt-4", [])]


async def test_the_same_name_with_another_provider_is_one_more_deployment(desk: Desk) -> None:
    first, second = await provider(desk), await provider(desk, name="Other")
    model = (await post(desk, MODELS, MODEL)).json["id"]

    for id in (first, second):
        content = (await post(desk, MODELS, {**MODEL, "provider_id": id})).json
        assert content["message"] == "Provider added successfully"
        assert (content["id"], content["provider_info"]["provider_id"]) == (model, id)
        assert content["provider_info"]["weight"] == 10
        assert content["provider_info"]["is_preferred"] is False

    tier = desk.services.state.snapshot.models["gpt-4"].tiers[0]
    assert [one.provider.name for one in tier] == ["OpenAI", "Other"]


async def test_what_is_there_already_is_a_conflict(desk: Desk) -> None:
    id = await provider(desk)
    await post(desk, MODELS, {**MODEL, "provider_id": id})

    for path, body in (
        (MODELS, MODEL),
        (MODELS, {**MODEL, "provider_id": id}),
        (PROVIDERS, PROVIDER),
    ):
        said = await desk.owner("POST", path, body)
        assert (said.status, said.code) == (409, "conflict")


@pytest.mark.parametrize("extra", [{}, {"provider_id": "from-file"}])
async def test_a_model_of_the_file_is_read_only(desk: Desk, extra: dict[str, Any]) -> None:
    said = await desk.owner("POST", MODELS, {"name": "filed", **extra})

    assert (said.status, said.code) == (409, "read_only")


async def test_a_provider_may_be_named_and_be_of_the_file(desk: Desk) -> None:
    content = (await post(desk, MODELS, {**MODEL, "provider_id": "from-file"})).json

    assert content["provider_info"]["provider_id"] is None
    assert content["provider_info"]["provider_name"] == "from-file"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**MODEL, "provider_id": 999}, "provider_id"),
        ({**MODEL, "provider_id": 1.5}, "provider_id"),
        ({**MODEL, "provider_id": "from-file", "provider_weight": -1}, "provider_weight"),
        ({"llm_type": "chat"}, "name"),
        ({"name": "a", "description": "x" * 3000}, "description"),
    ],
)
async def test_what_is_wrong_with_a_model_is_named(
    desk: Desk, body: dict[str, Any], field: str
) -> None:
    said = await desk.owner("POST", MODELS, body)

    assert (said.status, said.code) == (400, "invalid")
    assert [fault["field"] for fault in said.json["errors"]] == [field]


async def test_what_is_not_kept_stands_in_a_header(desk: Desk) -> None:
    said = await post(desk, MODELS, {**MODEL, "llm_type": "PUBLIC", "能力": [1]})

    assert said.headers["x-headrace-not-kept"] == "%E8%83%BD%E5%8A%9B, llm_type"


async def test_a_provider_and_whose_it_is(desk: Desk) -> None:
    content = (await post(desk, PROVIDERS, PROVIDER)).json
    await post(desk, PROVIDERS, {"name": "C", "base_url": "https://api.anthropic.com"})
    await post(desk, PROVIDERS, {"name": "V", "provider_type": "volcengine"})
    await post(desk, PROVIDERS, {"name": "P", "base_url": "https://llm.example.com/v1"})

    assert content == {
        "message": "Provider created successfully",
        "id": content["id"],
        "name": "OpenAI",
        "provider_id": content["id"],
        "provider_name": "OpenAI",
    }
    listed = (await desk.owner("GET", PROVIDERS)).json
    assert listed["total"] == 5
    assert {one["name"]: one["type"] for one in listed["providers"]} == {
        "from-file": "openai_compatible",
        "OpenAI": "openai",
        "C": "anthropic",
        "V": "volcengine",
        "P": "openai_compatible",
    }
    assert PROVIDER["api_key"] not in str(listed)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a"}, "base_url"),
        ({"name": "a", "base_url": "http://10.0.0.1"}, "base_url"),
        ({"name": "a", "provider_type": "telegraph"}, "provider_type"),
        ({"name": "a", "base_url": "https://a.example.com", "api_key": "${HOME}"}, "api_key"),
    ],
)
async def test_what_is_wrong_with_a_provider_is_named(
    desk: Desk, body: dict[str, Any], field: str
) -> None:
    said = await desk.owner("POST", PROVIDERS, body)

    assert (said.status, said.code) == (400, "invalid")
    assert said.json["errors"][0]["field"] == field


async def test_lists_have_all_fields_and_the_file_first(desk: Desk) -> None:
    await post(desk, MODELS, MODEL)

    listed = (await desk.owner("GET", MODELS)).json

    assert [one["name"] for one in listed["models"]] == ["filed", "gpt-4"]
    assert listed["models"][0]["providers"] == [
        {"provider_id": None, "provider_name": "from-file", "weight": 10, "is_preferred": False}
    ]
    for one in listed["models"]:
        assert set(one) == {
            "id",
            "name",
            "type",
            "description",
            "is_enabled",
            "providers",
            "created_at",
            "updated_at",
        }


async def test_rights(desk: Desk) -> None:
    operator, viewer = (
        await desk.token("operator", Role.OPERATOR),
        await desk.token("viewer", Role.VIEWER),
    )

    assert (await desk.ask("POST", MODELS, MODEL)).status == 401
    assert (await desk.ask("POST", MODELS, MODEL, viewer)).status == 403
    assert (await desk.ask("POST", MODELS, MODEL, operator)).status == 200
    assert (await desk.ask("POST", PROVIDERS, PROVIDER, operator)).status == 403
    assert (await desk.ask("GET", PROVIDERS, who=viewer)).status == 200


@pytest.mark.parametrize("name", ["field", "能力" * 100])
async def test_what_is_not_kept_fits_a_header(desk: Desk, name: str) -> None:
    body = {**MODEL, **{f"{number:03}{name}": 1 for number in range(500)}}

    said = (await post(desk, MODELS, body)).headers["x-headrace-not-kept"]

    *named, rest = said.split(", ")
    assert named[0].startswith("000")
    assert rest == f"and {500 - len(named)} more"
    assert len(said) < 4096
    assert len(named) <= 32
