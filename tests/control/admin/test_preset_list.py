"""What is known of vendors is listed for whoever adds a provider."""

from __future__ import annotations

from proxy.core.config.presets import presets
from proxy.core.surfaces import DIALECTS, OPENAI
from tests.control.admin.office import Office


async def test_every_preset_is_listed_with_what_has_to_be_given(office: Office) -> None:
    content = await office.shown("/admin/presets")

    found = {one["name"]: one for one in content["data"]}
    assert list(found) == list(presets())
    assert content["dialects"] == DIALECTS
    assert found["openai"]["base_url"] == "https://api.openai.com/v1"
    assert found["openai"]["placeholders"] == []
    assert found["openai"]["credential_env"] == ["OPENAI_API_KEY"]
    assert found["azure-openai"]["placeholders"] == ["RESOURCE"]
    assert found["vertex"]["placeholders"] == ["LOCATION", "PROJECT"]
    assert "openai.chat" in found["gemini"]["dialects"]
    assert found["openai"]["paths"] == {}
    assert found["github-models"]["paths"] == {
        "openai.chat": "/chat/completions",
        "openai.embeddings": "/embeddings",
    }
    assert content["usual"] == list(OPENAI)


async def test_a_provider_can_be_made_of_each(office: Office) -> None:
    for one in (await office.shown("/admin/presets"))["data"]:
        body = {"name": one["name"], "preset": one["name"]}
        if one["placeholders"]:
            url = one["base_url"]
            for word in one["placeholders"]:
                url = url.replace(word, "acme")
            body["base_url"] = url
        said = await office.owner("POST", "/admin/providers?dry_run=true", body)
        assert said.status == 200, (one["name"], said.body)
