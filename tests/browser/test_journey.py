"""From an empty installation to a revoked key, by one person in one browser, as the documentation tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import accessible, opened
from tests.browser.office import KEYS, Office
from tests.browser.serving import served
from tests.docs.conftest import Demo

PASSWORD = "correct horse battery staple"
CONFIG = f"admin: {{host: 127.0.0.1, port: 0, username: root, password: {PASSWORD}}}\n"


def _go(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


@pytest.mark.timeout(120)
def test_the_first_hour(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    simulator = Office(demo).simulator
    with served(tmp_path, CONFIG) as server:
        for page in opened(browser, f"http://{server.admin}"):
            _first_hour(page, simulator, tmp_path)


def _first_hour(page: Page, simulator: str, folder: Path) -> None:
    page.goto("/")
    page.get_by_label("Name", exact=True).fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    accessible(page)
    _add_provider_and_model(page, simulator)
    key = _make_key(page)
    _ask(page, key)
    _see(page)
    _revoke(page, key)
    _carry_over(page, folder)


def _add_provider_and_model(page: Page, simulator: str) -> None:
    _go(page, "Providers")
    page.get_by_role("button", name="Add provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Another address").click()
    dialog.get_by_label("Name", exact=True).fill("acme")
    dialog.get_by_label("Address", exact=True).fill(simulator)
    dialog.get_by_label("Credentials").fill(KEYS[0])
    dialog.get_by_label("Its address may be private or local").check()
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("acme")
    page.get_by_role("button", name="Add a model").first.click()
    dialog.get_by_label("Name", exact=True).fill("fast")
    dialog.get_by_label("Its name there").fill("sim-n12-d2")
    dialog.get_by_role("button", name="Add model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("fast")


def _make_key(page: Page) -> str:
    _go(page, "Keys and teams")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New key", exact=True)
    dialog.get_by_label("Name", exact=True).fill("journey")
    dialog.get_by_label("Models").fill("fast")
    dialog.get_by_role("button", name="Make the key").click()
    key = page.locator("[data-secret]").inner_text()
    page.get_by_role("button", name="I have it").click()
    return key


def _ask(page: Page, key: str) -> None:
    _go(page, "Playground")
    page.get_by_label("Model", exact=True).fill("fast")
    page.get_by_label("or paste a virtual key").fill(key)
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("200 · done")).to_be_visible()
    expect(page.get_by_label("Text of the answer")).to_contain_text("The mill turns")


def _see(page: Page) -> None:
    _go(page, "Requests")
    row = page.get_by_role("region", name="Requests").get_by_role("row").filter(has_text="journey")
    expect(row.first).to_contain_text("fast")
    row.first.get_by_role("link").first.click()
    expect(page.get_by_text("acme").first).to_be_visible()
    accessible(page)
    _go(page, "Overview")
    expect(page.get_by_text("acme: healthy")).to_be_visible()
    live = page.get_by_role("img", name="Requests per second, the last five minutes")
    expect(live).to_be_visible()


def _revoke(page: Page, key: str) -> None:
    _go(page, "Keys and teams")
    page.get_by_role("link", name="journey").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("dialog").get_by_text("disabled", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    _go(page, "Playground")
    expect(page.get_by_text(f"pasted …{key[-4:]}")).to_be_visible()
    page.get_by_label("Model", exact=True).fill("fast")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("disabled")


def _carry_over(page: Page, folder: Path) -> None:
    """What was made is saved, changed in the file, and taken back in."""
    _go(page, "Configuration")
    page.get_by_role("tab", name="Export and import").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    saved = folder / "export"
    download.value.save_as(saved)
    text = saved.read_text()
    assert "acme" in text
    assert KEYS[0] not in text
    page.get_by_label("or paste it").fill("models: {fast: {description: Quick enough}}")
    page.get_by_role("button", name="Show what it would change").click()
    expect(page.get_by_label("What it changes")).to_contain_text("Quick enough")
