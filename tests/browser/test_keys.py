"""Keys and teams, and what the audit says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browser.asking import ask, chat
from tests.browser.conftest import accessible, opened, pictured
from tests.browser.serving import served
from tests.docs.conftest import Demo


def _make(page: Page, name: str) -> str:
    page.goto("/dashboard/keys")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New key", exact=True)
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_label("Models").fill("demo-fast, sim*")
    dialog.get_by_label("Team").fill("kite")
    dialog.get_by_label("Requests a minute").fill("60")
    accessible(page)
    dialog.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("dialog", name="The new key")
    key = shown.locator("[data-secret]").inner_text()
    pictured(page, "dashboard-new-key")
    shown.get_by_role("button", name="I have it").click()
    return key


def _delete(page: Page, name: str) -> None:
    page.get_by_role("button", name="Delete").click()
    confirm = page.get_by_role("dialog", name=f"Delete {name}?")
    expect(confirm.get_by_role("button", name="Delete")).to_be_disabled()
    confirm.get_by_label(f"Type {name} to go on").fill(name)
    confirm.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)


def test_a_key_is_shown_once_and_works_until_it_is_taken_back(page: Page, demo: Demo) -> None:
    key = _make(page, "kite-once")
    assert chat(demo, key) == 200
    assert chat(demo, key, model="demo") == 404

    page.get_by_role("link", name="kite-once").click()
    detail = page.get_by_role("dialog", name="kite-once")
    expect(detail).to_contain_text("60 requests a minute")
    assert key not in page.content()
    accessible(page)
    detail.get_by_role("button", name="Disable").click()
    expect(detail.get_by_text("disabled", exact=True)).to_be_visible()
    assert chat(demo, key) == 403
    page.get_by_role("button", name="Undo").click()
    expect(detail.get_by_text("good", exact=True)).to_be_visible()
    assert chat(demo, key) == 200

    _delete(page, "kite-once")
    assert chat(demo, key) == 401


def test_a_key_is_replaced(page: Page, demo: Demo) -> None:
    old = _make(page, "kite-turn")
    page.get_by_role("link", name="kite-turn").click()
    page.get_by_role("button", name="Replace key").click()
    page.get_by_role("button", name="at once").click()
    page.get_by_role("button", name="Make another key").click()
    shown = page.get_by_role("dialog", name="The key in its place")
    new = shown.locator("[data-secret]").inner_text()
    shown.get_by_role("button", name="I have it").click()

    assert (chat(demo, new), chat(demo, old)) == (200, 401)
    _delete(page, "kite-turn")


def test_what_is_wrong_is_said_at_its_field(page: Page) -> None:
    page.goto("/dashboard/keys")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New key", exact=True)
    dialog.get_by_label("Name", exact=True).fill("kite-wrong")
    dialog.get_by_label("Requests a minute").fill("many")
    dialog.get_by_role("button", name="Make the key").click()

    field = dialog.get_by_label("Requests a minute")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_role("alert")).to_contain_text("rpm")
    accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="New key")).to_be_focused()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (1893456000.5, "1 Jan 2030, 01:00:00"),
        ("1893456000", "1 Jan 2030, 01:00:00"),
        ("2030-01-01", "1 Jan 2030, 01:00:00"),
        ("20300101", "1 Jan 2030, 01:00:00"),
        ("2030-01-01T12:00:30", "1 Jan 2030, 13:00:30"),
        ("2030-01-01 12:00:30.25+02:00", "1 Jan 2030, 11:00:30"),
        ("2030-W01-2", "2030-W01-2"),
    ],
)
def test_the_end_of_a_key_is_shown_and_stays_however_it_was_written(
    page: Page, demo: Demo, written: object, shown: str
) -> None:
    made = ask(demo, "POST", "/admin/keys", {"name": "kite-end", "expires": written})
    page.goto(f"/dashboard/keys/{made['id']}")
    detail = page.get_by_role("dialog", name="kite-end", exact=True)
    expect(detail).to_contain_text(f"Good until{shown}")
    detail.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog", name="Change kite-end")
    dialog.get_by_label("Requests a minute").fill("7")
    dialog.get_by_role("button", name="Save").click()
    expect(detail).to_contain_text("7 requests a minute")

    found = ask(demo, "GET", f"/admin/keys/{made['id']}")
    ask(demo, "DELETE", f"/admin/keys/{made['id']}")
    assert (found["rpm"], found["expires"]) == (7, written)


@pytest.mark.parametrize("written", [1577836800, "1577836800", "20200101", "2020-01-01T00:00"])
def test_a_key_that_has_ended_is_called_so_however_its_end_was_written(
    page: Page, demo: Demo, written: object
) -> None:
    made = ask(demo, "POST", "/admin/keys", {"name": "kite-over", "expires": written})
    page.goto("/dashboard/keys?q=kite-over")
    expect(page.get_by_role("row", name=re.compile("kite-over"))).to_contain_text("expired")
    ask(demo, "DELETE", f"/admin/keys/{made['id']}")


def test_a_key_of_the_file_is_opened_whatever_it_is_called(
    browser: Browser, tmp_path: Path
) -> None:
    name = "shop/web #1, 50% or more?"
    keys = f'keys: [{{name: "{name}", key: sk-of-the-file-0123456789, expires: 2020-01-31}}]\n'
    with served(tmp_path, "admin: {anonymous: true, port: 0}\n" + keys) as one:
        for page in opened(browser, f"http://{one.admin}"):
            page.goto("/dashboard/keys")
            expect(page.get_by_role("row", name=re.compile("web #1"))).to_contain_text("expired")
            page.get_by_role("link", name=name).click()
            detail = page.get_by_role("dialog", name=name)
            expect(detail).to_contain_text("Good until31 Jan 2020, 01:00:00")
            page.reload()
            expect(detail).to_contain_text("from the configuration file")


def test_a_team_is_limited_and_the_audit_knows(page: Page) -> None:
    page.goto("/dashboard/keys?tab=teams")
    page.get_by_role("button", name="Limit a team").click()
    dialog = page.get_by_role("dialog", name="Limit a team")
    dialog.get_by_label("Team").fill("kestrel")
    dialog.get_by_label("Budget, US dollars").fill("25")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row", name=re.compile("kestrel"))
    expect(row).to_contain_text("$0 of $25.00")
    accessible(page)
    pictured(page, "dashboard-teams")
    row.get_by_role("button", name="Take limits away").click()
    page.get_by_role("dialog").get_by_role("button", name="Take away").click()
    expect(row).to_have_count(0)

    page.goto("/dashboard/audit?kind=setting&name=teams")
    rows = page.get_by_role("row", name=re.compile("teams"))
    expect(rows.first).to_contain_text("kestrel")
    rows.first.click()
    expect(page.get_by_role("dialog")).to_contain_text("kestrel")
    accessible(page)
    pictured(page, "dashboard-audit")


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "{{7*7}}",
        "javascript:alert(1)",
        "=cmd|' /C calc'!A0",
    ],
)
def test_a_name_is_text_wherever_it_is_shown(page: Page, demo: Demo, name: str) -> None:
    alerts: list[str] = []

    def alerted(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", alerted)
    made = ask(demo, "POST", "/admin/keys", {"name": name, "team": name, "owner": name})
    page.goto(f"/dashboard/keys/{made['id']}")

    expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_have_text(name)
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    page.goto("/dashboard/audit?kind=key")
    expect(page.get_by_text(name, exact=True).first).to_be_visible()
    ask(demo, "DELETE", f"/admin/keys/{made['id']}")
    assert alerts == []
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
