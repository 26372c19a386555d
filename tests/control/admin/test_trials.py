"""An operator has a deployment or a credential tried, and puts back what is out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.control.admin.turnstile import IN_A_MINUTE
from proxy.core.clock import monotonic
from proxy.core.errors import Cause
from proxy.state.health import CLOSED, NO_PROBE
from proxy.state.rests import Refusal
from tests.control.admin.office import CREDENTIAL, Office, open_office, problem
from tests.gateway.served import STREAMED, Provider, whole
from tests.line.harness import scripted, until

LIST = whole(b'{"object":"list","data":[{"id":"a"}]}')


class Lab:
    """An office, and a provider that does as it is told."""

    def __init__(self, office: Office, provider: Provider, url: str) -> None:
        self.office = office
        self.provider = provider
        self.url = url

    async def make(self, *models: str, **more: Any) -> int:
        """The provider `lab`, and models it serves; the id of its first credential."""
        keys = [CREDENTIAL, "sk-the-other-one-5678"]
        where = {"base_url": self.url, "allow_private": True, "credentials": keys}
        await self.office.made("/admin/providers", {"name": "lab", **where, **more})
        for name in models:
            upstream = {"model": "*"} if name.endswith("*") else {}
            body = {"name": name, "deployments": [{"provider": "lab", **upstream}]}
            await self.office.made("/admin/models", body)
        credentials = await self.office.shown("/admin/credentials?provider=lab")
        return int(credentials["data"][0]["id"])

    async def deployment(self, model: str) -> int:
        """The id of its first."""
        listed = await self.office.shown(f"/admin/deployments?model={model}")
        return int(listed["data"][0]["id"])

    def bearers(self) -> list[str]:
        return [
            head.decode().lower().partition("authorization: bearer ")[2].partition("\r")[0]
            for head, _ in self.provider.requests
        ]


@asynccontextmanager
async def opened(path: Path, *answers: bytes) -> AsyncIterator[Lab]:
    provider = Provider(*answers)
    async with open_office(path) as office, scripted(provider) as url:
        yield Lab(office, provider, url)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path, STREAMED) as one:
        yield one


async def test_a_deployment_is_tried(lab: Lab) -> None:
    credential = await lab.make("team/m")
    id = await lab.deployment("team/m")

    said = await lab.office.owner("POST", f"/admin/deployments/{id}/test", {"prompt": "Well?"})

    assert said.status == 200, said.body
    found = said.json
    assert (found["ok"], found["error"], found["status"]) == (True, None, 200)
    assert (found["provider"], found["model"], found["dialect"]) == ("lab", "team/m", "openai.chat")
    assert found["credential"] == f"lab#{credential}"
    assert (found["text"], found["finish"]) == ("hello", "stop")
    assert found["usage"]["output"] == 2
    assert 0 < found["connect"] < found["ttft"] <= found["total"]
    sent = orjson.loads(lab.provider.requests[0][1])
    assert sent["messages"][0]["content"] == "Well?"
    assert CREDENTIAL.encode() not in said.body
    (row,) = await lab.office.trail(action="deployment.test")
    assert (row["kind"], row["object"], row["after"]) == (
        "deployment",
        id,
        {"status": 200, "cause": None},
    )


async def test_with_the_credential_that_is_named(lab: Lab) -> None:
    first = await lab.make("m")
    id = await lab.deployment("m")

    for credential in (first, first + 1, str(first + 1)):
        said = await lab.office.owner(
            "POST", f"/admin/deployments/{id}/test", {"credential": credential}
        )
        assert said.status == 200, said.body

    assert lab.bearers() == [CREDENTIAL, "sk-the-other-one-5678", "sk-the-other-one-5678"]


async def test_one_that_rests_is_not_chosen(lab: Lab) -> None:
    first = await lab.make("m")
    state = lab.office.services.state
    account = state.live.accounts[f"lab#{first}"]
    account.rest.cool(Refusal(Cause.AUTH, monotonic(), 401), monotonic(), state.rng)

    await lab.office.owner("POST", f"/admin/deployments/{await lab.deployment('m')}/test")
    await lab.office.owner("POST", f"/admin/credentials/{first}/test")

    assert lab.bearers() == ["sk-the-other-one-5678", CREDENTIAL]


async def test_of_many_models_one_is_named(lab: Lab) -> None:
    await lab.make("wild/*")
    path = f"/admin/deployments/{await lab.deployment('wild/*')}/test"

    said = await lab.office.owner("POST", path, {"model": "wild/horses"})

    assert said.json["model"] == "horses"
    for wrong in ({}, {"model": "tame"}, {"model": "wild/*"}):
        assert problem(await lab.office.owner("POST", path, wrong)) == (400, "invalid", ["model"])


async def test_a_credential_is_tried_at_a_model_of_its_provider(lab: Lab) -> None:
    credential = await lab.make("wild/*", "vectors", "m")
    await lab.office.owner("PATCH", "/admin/models/vectors", {"type": "embedding"})

    said = await lab.office.owner("POST", f"/admin/credentials/{credential}/test")

    assert (said.json["ok"], said.json["model"], said.json["models"]) == (True, "m", None)
    (row,) = await lab.office.trail(action="credential.test")
    assert row["object"] == credential


async def test_a_model_of_vectors_is_asked_for_some(tmp_path: Path) -> None:
    async with opened(tmp_path, LIST) as lab:
        await lab.make("vectors", dialects=["openai.chat", "openai.embeddings"])
        await lab.office.owner("PATCH", "/admin/models/vectors", {"type": "embedding"})
        path = f"/admin/deployments/{await lab.deployment('vectors')}/test"
        said = await lab.office.owner("POST", path)

    assert (said.json["ok"], said.json["dialect"]) == (True, "openai.embeddings")


async def test_without_a_model_its_list_of_models_is_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path, LIST) as lab:
        credential = await lab.make()
        said = await lab.office.owner("POST", f"/admin/credentials/{credential}/test")

        assert (said.json["ok"], said.json["models"], said.json["text"]) == (True, 1, "")
        assert lab.provider.requests[0][0].startswith(b"GET /v1/models ")


async def test_where_there_is_nothing_to_ask_it_says_so(lab: Lab) -> None:
    credential = await lab.make(dialects=["bedrock.converse"])

    said = await lab.office.owner("POST", f"/admin/credentials/{credential}/test")

    assert problem(said) == (409, "nothing_to_ask", [])


async def test_a_failure_is_explained_without_secrets(tmp_path: Path) -> None:
    body = b'{"error":{"message":"Incorrect API key provided: %b"}}' % CREDENTIAL.encode()
    async with opened(tmp_path, whole(body, 401)) as lab:
        await lab.make("m")
        said = await lab.office.owner(
            "POST", f"/admin/deployments/{await lab.deployment('m')}/test"
        )

    assert said.status == 200
    assert (said.json["ok"], said.json["status"]) == (False, 401)
    assert said.json["error"]["cause"] == "http_401"
    assert said.json["error"]["detail"] == "Incorrect API key provided: ***"
    assert CREDENTIAL.encode() not in said.body
    assert lab.url.encode() not in said.body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"credential": True}, "credential"),
        ({"tokens": 100000}, "tokens"),
    ],
)
async def test_nothing_else_can_be_asked_for(lab: Lab, body: Any, field: str) -> None:
    await lab.make("m")
    path = f"/admin/deployments/{await lab.deployment('m')}/test"

    assert problem(await lab.office.owner("POST", path, body)) == (400, "invalid", [field])
    assert lab.provider.requests == []


async def test_a_credential_of_another_provider_is_not_taken(lab: Lab) -> None:
    await lab.make("m")
    path = f"/admin/deployments/{await lab.deployment('m')}/test"

    said = await lab.office.owner("POST", path, {"credential": "filed#0"})

    assert problem(said) == (400, "invalid", ["credential"])
    assert (await lab.office.owner("POST", path, {"credential": "none"})).status == 404


@pytest.mark.parametrize("verb", ["test", "restore"])
async def test_what_is_not_in_use_is_not_tried(lab: Lab, verb: str) -> None:
    credential = await lab.make("m")
    id = await lab.deployment("m")
    await lab.office.owner("POST", "/admin/providers/lab/disable")

    for path in (f"/admin/deployments/{id}/{verb}", f"/admin/credentials/{credential}/{verb}"):
        assert problem(await lab.office.owner("POST", path)) == (409, "not_in_use", [])
    assert (await lab.office.owner("POST", f"/admin/deployments/999/{verb}")).status == 404


async def test_one_at_a_time_and_not_without_end(lab: Lab) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go.wait()
        writer.write(LIST)

    async with scripted(waits) as lab.url:
        credential = await lab.make()
        path = f"/admin/credentials/{credential}/test"
        first = asyncio.ensure_future(lab.office.owner("POST", path))
        await asked.wait()
        assert problem(await lab.office.owner("POST", path)) == (429, "too_many", [])
        go.set()
        assert (await first).json["ok"] is True

    gate = lab.office.services.tests
    for _ in range(IN_A_MINUTE - 1):
        with gate.through("other"):
            pass
    said = await lab.office.owner("POST", path)
    assert (said.status, int(said.headers["retry-after"]) > 50) == (429, True)


async def test_a_deployment_is_put_back(lab: Lab) -> None:
    await lab.make("m")
    id = await lab.deployment("m")
    state = lab.office.services.state
    one = state.live.deployments[f"m/{id}:lab"]
    for _ in range(5):
        one.bad(monotonic(), 1.0, NO_PROBE, state.rng)
    assert one.phase != CLOSED

    said = await lab.office.owner("POST", f"/admin/deployments/{id}/restore")

    assert (said.status, said.json["status"], one.phase, one.streak) == (
        200,
        "healthy",
        CLOSED,
        0.0,
    )
    assert said.json["retry_at"] is None
    assert len(await lab.office.trail(action="deployment.restore")) == 1


async def test_with_one_deployment_all_of_a_host_that_was_out_come_back(lab: Lab) -> None:
    await lab.make("m", "n")
    state = lab.office.services.state
    all_ = [
        state.live.deployments[f"{name}/{await lab.deployment(name)}:lab"] for name in ("m", "n")
    ]
    for one in all_:
        for _ in range(5):
            one.bad(monotonic(), 1.0, NO_PROBE, state.rng)
    assert all(one.outage is not None for one in all_)

    id = await lab.deployment("m")
    said = await lab.office.owner("POST", f"/admin/deployments/{id}/restore")

    assert said.json["outage"] is False
    assert [(one.outage, one.phase) for one in all_] == [(None, CLOSED)] * 2


async def test_a_credential_is_put_back(lab: Lab) -> None:
    credential = await lab.make("m")
    state = lab.office.services.state
    account = state.live.accounts[f"lab#{credential}"]
    now = monotonic()
    account.state("m").cool(Refusal(Cause.RATE_LIMIT, now, 429, 60.0), now, state.rng)
    account.rest.cool(Refusal(Cause.AUTH, now, 401), now, state.rng)

    said = await lab.office.owner("POST", f"/admin/credentials/{credential}/restore")

    assert (said.status, said.json["state"], said.json["rests"]) == (200, "usable", [])
    assert (account.rest.until, account.state("m").until) == (0.0, 0.0)
    await until(lambda: account.state("m").remaining(inf) == 0.0)


async def test_it_works_without_the_database(lab: Lab) -> None:
    path = "/admin/deployments/filed/model/0:filed/restore"
    await lab.office.cut()

    assert (await lab.office.owner("POST", path)).status == 200
