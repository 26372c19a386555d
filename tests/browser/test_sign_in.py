"""Signing in and out, and what roles see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import accessible, opened, pictured
from tests.browser.serving import Served, served

PASSWORD = "correct horse battery staple"
TOKEN = "a-token-that-opens-the-admin-api"
CONFIG = (
    f"admin: {{host: 127.0.0.1, port: 0, username: root, password: {PASSWORD}, token: {TOKEN}}}\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), CONFIG) as one:
        yield one


@pytest.fixture
def door(browser: Browser, server: Served) -> Iterator[Page]:
    yield from opened(browser, f"http://{server.admin}")


def _sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def _kept(page: Page) -> str:
    return str(
        page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    )


def test_a_name_and_a_password_open_the_page_that_was_asked_for(door: Page) -> None:
    door.goto("/dashboard/settings?tab=users")
    expect(door.get_by_role("heading", level=1)).to_have_text("Sign in")
    accessible(door)
    pictured(door, "dashboard-sign-in")
    _sign_in(door, "root", "wrong")
    expect(door.get_by_role("alert")).to_contain_text("wrong")
    _sign_in(door, "root", PASSWORD)

    expect(door.get_by_role("heading", level=1)).to_have_text("Settings")
    assert _kept(door) == '[{},{},""]'
    door.reload()
    expect(door.get_by_role("heading", level=1)).to_have_text("Settings")
    door.get_by_role("button", name="Sign out").click()
    expect(door.get_by_role("heading", level=1)).to_have_text("Sign in")
    door.reload()
    expect(door.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_token_opens_a_session_and_is_kept_nowhere(door: Page) -> None:
    door.goto("/dashboard/audit")
    door.get_by_role("button", name="Token").click()
    door.get_by_label("Token", exact=True).fill(TOKEN)
    door.get_by_role("button", name="Sign in").click()
    expect(door.get_by_role("heading", level=1)).to_have_text("Audit")
    door.reload()

    expect(door.get_by_role("heading", level=1)).to_have_text("Audit")
    assert TOKEN not in _kept(door)


@pytest.mark.parametrize("way", ["password", "token"])
def test_who_comes_over_plain_http_from_elsewhere_is_told_why_there_is_no_session(
    browser: Browser, server: Served, way: str
) -> None:
    # Not `opened`: that the browser warns of such a page is right.
    context = browser.new_context(base_url=f"http://gateway.example:{server.admin.split(':')[1]}")
    page = context.new_page()
    page.goto("/dashboard")
    if way == "token":
        page.get_by_role("button", name="Token").click()
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
    else:
        _sign_in(page, "root", PASSWORD)

    expect(page.get_by_role("alert")).to_contain_text("over HTTPS")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    context.close()


def test_a_user_is_made_and_sees_what_the_role_may(
    door: Page, browser: Browser, server: Served
) -> None:
    door.goto("/dashboard/settings?tab=users")
    _sign_in(door, "root", PASSWORD)
    door.get_by_role("button", name="New user").click()
    dialog = door.get_by_role("dialog", name="New user")
    dialog.get_by_label("Name", exact=True).fill("vera")
    dialog.get_by_label("Password", exact=True).fill("short")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Password", exact=True).fill("vera has a long one")
    dialog.get_by_role("button", name="Save").click()
    expect(door.get_by_role("row", name="vera")).to_contain_text("viewer")
    accessible(door)
    door.get_by_role("tab", name="Tokens of programs").click()
    door.get_by_role("button", name="New token").click()
    form = door.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("ci")
    form.get_by_label("Role").select_option("key_manager")
    door.get_by_role("button", name="Make the token").click()
    expect(form.get_by_label("Team")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("Team").fill("research")
    door.get_by_role("button", name="Make the token").click()
    expect(door.locator("[data-secret]")).to_contain_text("sk-hra-")
    door.get_by_role("button", name="I have it").click()
    expect(door.get_by_role("row", name="ci")).to_contain_text("research")
    accessible(door)

    for page in opened(browser, f"http://{server.admin}"):
        page.goto("/dashboard")
        _sign_in(page, "vera", "vera has a long one")
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        names = page.get_by_role("navigation", name="Pages").get_by_role("link")
        assert set(names.all_inner_texts()).isdisjoint({"Keys and teams", "Configuration", "Audit"})
        page.goto("/dashboard/keys")
        expect(page.get_by_role("main")).to_contain_text("needs the permission keys")
        page.goto("/dashboard/providers")
        expect(page.get_by_role("heading", level=1)).to_have_text("Providers")
        expect(page.get_by_role("button", name="Add")).to_have_count(0)


def test_a_session_that_ends_leads_to_the_door(door: Page) -> None:
    door.goto("/dashboard/settings")
    _sign_in(door, "root", PASSWORD)
    expect(door.get_by_role("heading", level=1)).to_have_text("Settings")
    door.context.clear_cookies()
    door.get_by_role("link", name="Audit").click()

    expect(door.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_printed_token_is_enough_for_the_first_time(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, "admin: {host: 127.0.0.1, port: 0}\n") as one:
        for page in opened(browser, f"http://{one.admin}"):
            page.goto("/dashboard/settings")
            page.get_by_role("button", name="Token").click()
            page.get_by_label("Token", exact=True).fill(one.token)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
