"""Providers: how they are, adding one from a preset or an address, its credentials, and trying it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, Page, expect

from proxy.core.config.presets import presets
from proxy.core.surfaces import OPENAI
from tests.browser.conftest import accessible, opened, pictured
from tests.browser.office import KEYS, Office
from tests.control.admin.desk import in_days
from tests.docs.conftest import Demo


def row(page: Page, name: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_a_provider_is_added_given_a_model_and_tried(page: Page, office: Office) -> None:
    page.goto("/dashboard/providers")
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Vendor")).to_be_focused()
    known = len(presets())
    expect(dialog.get_by_text(f"{known} of {known} presets")).to_be_visible()
    dialog.get_by_role("button", name="Another address").click()
    dialog.get_by_label("Name", exact=True).fill("b-added")
    dialog.get_by_role("button", name="Add provider").click()
    expect(dialog.get_by_label("Address", exact=True)).to_be_focused()
    expect(dialog.get_by_label("Address", exact=True)).to_have_attribute("aria-invalid", "true")
    accessible(page)
    dialog.get_by_label("Address", exact=True).fill(office.simulator)
    dialog.get_by_label("Credentials").fill("\n".join(KEYS))
    dialog.get_by_label("Its address may be private or local").check()
    dialog.get_by_role("button", name="Add provider").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("b-added")
    credentials = page.get_by_role("region", name="Credentials")
    expect(credentials.get_by_text("•••• aaaa")).to_be_visible()
    assert KEYS[0] not in page.content()
    page.get_by_role("button", name="Add a model").first.click()
    dialog.get_by_label("Name", exact=True).fill("b-team/added")
    dialog.get_by_label("Its name there").fill("sim-n5-d1")
    dialog.get_by_role("button", name="Add model").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("b-team/added")
    page.get_by_role("button", name="Test it").click()
    dialog.get_by_role("button", name="Send").click()
    expect(dialog.get_by_text("it works")).to_be_visible()
    expect(dialog.get_by_text("The mill turns")).to_be_visible()
    pictured(page, "dashboard-test")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert office("GET", "/admin/models/b-team/added")["kind"] == "model"


def test_a_preset_is_found_and_its_holes_are_filled(page: Page, office: Office) -> None:
    page.goto("/dashboard/providers")
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Vendor").fill("azure")
    dialog.get_by_role("button", name="azure-openai").click()
    dialog.get_by_label("Name", exact=True).fill("b-azure")
    dialog.get_by_label("RESOURCE").fill("acme")
    expect(dialog.get_by_label("Address", exact=True)).to_have_attribute(
        "placeholder", "https://acme.openai.azure.com/openai"
    )
    dialog.get_by_label("Credentials").fill(KEYS[0])
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("b-azure")

    made = office("GET", "/admin/providers/b-azure")
    assert (made["preset"], made["base_url"]) == (
        "azure-openai",
        "https://acme.openai.azure.com/openai",
    )


def test_the_list_shows_how_each_is_and_can_be_filtered(page: Page, office: Office) -> None:
    office.provider("b-well")
    office.provider("b-empty", credentials=[])
    office.model("b-listed", {"provider": "b-well", "model": "sim-n5-d1"})
    page.goto("/dashboard/providers?q=b-")
    expect(row(page, "b-well").get_by_text("healthy")).to_be_visible()
    expect(row(page, "b-well").get_by_text("2 usable")).to_be_visible()
    expect(row(page, "b-well").get_by_text("b-listed")).to_be_visible()
    expect(row(page, "b-empty").get_by_text("no credential")).to_be_visible()
    expect(page.get_by_role("link", name="lab", exact=True)).to_have_count(0)
    pictured(page, "dashboard-providers")

    page.get_by_role("button", name="Disable b-well").click()
    expect(row(page, "b-well").get_by_text("disabled", exact=True)).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "b-well").get_by_text("healthy")).to_be_visible()

    page.get_by_label("Name", exact=True).fill("b-em")
    expect(page).to_have_url(re.compile(r"q=b-em"))
    expect(row(page, "b-well")).to_have_count(0)
    page.get_by_label("Name", exact=True).fill("nobody")
    expect(page.get_by_role("heading", name="No provider fits")).to_be_visible()


def test_one_of_the_file_is_read_only_and_says_so(page: Page) -> None:
    page.goto("/dashboard/providers/lab")

    expect(page.get_by_text("is in the configuration file")).to_be_visible()
    expect(page.get_by_role("button", name="Change", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)


def test_credentials_are_added_changed_tried_and_deleted(page: Page, office: Office) -> None:
    office.provider("b-keys")
    page.goto("/dashboard/providers/b-keys")
    table = page.get_by_role("region", name="Credentials")
    page.get_by_role("button", name="Add credentials").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Credentials").fill("sk-browser-provider-cccc")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(table.get_by_text("•••• cccc")).to_be_visible()

    page.get_by_role("button", name="Change …cccc").click()
    dialog.get_by_label("Requests a minute").fill("120")
    accessible(page)
    dialog.get_by_role("button", name="Save").click()
    expect(table.get_by_text("120 requests/min")).to_be_visible()

    page.get_by_role("button", name="Test …cccc").click()
    dialog.get_by_role("button", name="Send").click()
    expect(dialog.get_by_text("Models listed")).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Delete …cccc").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(table.get_by_text("•••• cccc")).to_have_count(0)


def test_a_dialect_more_or_less_leaves_the_others_where_they_are(
    page: Page, office: Office
) -> None:
    office.provider("b-usual")
    page.goto("/dashboard/providers/b-usual")
    page.get_by_role("button", name="Change", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("openai.chat")).to_be_checked()
    dialog.get_by_label("anthropic.messages").check()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("b-usual is saved.")).to_be_visible()

    page.goto("/dashboard/providers")
    page.get_by_role("button", name="Add provider").click()
    dialog.get_by_label("Vendor").fill("github-models")
    dialog.get_by_role("button", name="github-models").click()
    dialog.get_by_label("Name", exact=True).fill("b-paths")
    dialog.get_by_label("Credentials").fill(KEYS[0])
    dialog.get_by_text("What it speaks, and more").click()
    dialog.get_by_label("openai.responses").check()
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("b-paths")

    usual = office("GET", "/admin/providers/b-usual")["dialects"]
    assert usual == [*OPENAI, "anthropic.messages"]
    assert office("GET", "/admin/providers/b-paths")["dialects"] == {
        "openai.chat": "/chat/completions",
        "openai.responses": "/v1/responses",
        "openai.embeddings": "/embeddings",
    }


def test_who_was_quicker_is_not_overwritten(page: Page, office: Office) -> None:
    made = office.provider("b-conflict")
    page.goto("/dashboard/providers/b-conflict")
    page.get_by_role("button", name="Change", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Note").fill("mine")
    office("PATCH", f"/admin/providers/{made['id']}", {"note": "theirs"})
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Somebody changed this meanwhile")).to_be_visible()
    dialog.get_by_role("button", name="Close and load it anew").click()

    expect(page.get_by_text("theirs")).to_be_visible()
    page.get_by_role("button", name="Change", exact=True).first.click()
    dialog.get_by_label("Note").fill("mine")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("b-conflict is saved.")).to_be_visible()
    assert office("GET", "/admin/providers/b-conflict")["note"] == "mine"


def test_what_names_it_is_shown_before_it_is_deleted(page: Page, office: Office) -> None:
    office.provider("b-gone")
    office.model("b-needs-it", {"provider": "b-gone", "model": "sim-n5-d1"})
    page.goto("/dashboard/providers/b-gone")
    page.get_by_role("button", name="Delete", exact=True).last.wait_for()
    page.locator(".head").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("of model 'b-needs-it'")).to_be_visible()
    expect(dialog.get_by_role("button", name="Delete all of it")).to_be_disabled()
    dialog.get_by_label("Type b-gone to go on").fill("b-gone")
    dialog.get_by_role("button", name="Delete all of it").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Providers")
    assert office("GET", "/admin/deployments?provider=b-gone")["data"] == []


def test_what_went_wrong_is_explained(page: Page, office: Office) -> None:
    office.provider("b-wrong")
    office.model("b-refused", {"provider": "b-wrong", "model": "sim-401"})
    page.goto("/dashboard/providers/b-wrong")
    page.get_by_role("button", name="Test b-refused").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send").click()

    expect(dialog.get_by_text("it failed", exact=True)).to_be_visible()
    expect(dialog.get_by_text("It does not accept the credential")).to_be_visible()
    accessible(page)


def test_who_may_only_look_sees_nothing_to_press(
    browser: Browser, demo: Demo, office: Office
) -> None:
    office.provider("b-seen")
    office.model("b-looked-at", {"provider": "b-seen", "model": "sim-n5-d1"})
    token = office(
        "POST", "/admin/tokens", {"name": "b-viewer", "role": "viewer", "expires": in_days(1)}
    )
    shown = {"authorization": f"Bearer {token['token']}"}
    for page in opened(browser, f"http://{demo.admin}", extra_http_headers=shown):
        page.goto("/dashboard/providers/b-seen")
        expect(page.get_by_text("•••• aaaa")).to_be_visible()
        expect(page.get_by_role("link", name="b-looked-at")).to_be_visible()
        expect(page.locator(".main button")).to_have_count(0)
        page.goto("/dashboard/models/b-looked-at")
        expect(page.get_by_text("weight gives 100 %")).to_be_visible()
        expect(page.locator(".main button")).to_have_count(0)
    office("DELETE", f"/admin/tokens/{token['id']}")


def test_nobody_of_that_name(page: Page) -> None:
    for kind in ("provider", "model"):
        page.goto(f"/dashboard/{kind}s/b-nobody")
        expect(page.get_by_role("heading", name=f"There is no such {kind}")).to_be_visible()


def test_on_a_phone_in_the_dark(browser: Browser, demo: Demo, office: Office) -> None:
    office.provider("b-phone")
    size = {"width": 390, "height": 844}
    for page in opened(browser, f"http://{demo.admin}", viewport=size, color_scheme="dark"):
        for path in ("/dashboard/providers", "/dashboard/providers/b-phone"):
            page.goto(path)
            expect(page.get_by_text("usable").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            accessible(page)
