"""The frame around all pages: where one is, who one is, the keyboard, a phone, the dark."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.asking import chat
from tests.browser.conftest import accessible, pictured
from tests.docs.conftest import Demo

PAGES = ("Overview", "Requests", "Playground", "Providers", "Models", "Keys and teams", "Configuration", "Audit", "Settings")  # fmt: skip


def test_every_page_is_reached_and_without_fault(page: Page) -> None:
    page.goto("/dashboard")
    for name in PAGES:
        page.get_by_role("navigation", name="Pages").get_by_role(
            "link", name=name, exact=True
        ).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        accessible(page)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[-2])


def test_the_keyboard_alone_leads_to_a_page(page: Page) -> None:
    page.goto("/dashboard")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("link", name="Skip to the page").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Requests", exact=True)).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Requests", level=1)).to_be_focused()


def test_a_phone_has_a_menu_and_the_dark(phone: Page, demo: Demo) -> None:
    assert chat(demo, "sk-headrace-demo") == 200
    phone.goto("/dashboard")
    expect(phone.get_by_role("heading", level=1)).to_have_text("Overview")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    expect(phone.locator(".tile", has_text="In flight")).to_contain_text(re.compile(r"\d"))
    pictured(phone, "dashboard-phone")
    phone.get_by_role("button", name="Menu").click()
    accessible(phone)
    phone.get_by_role("link", name="Audit").click()

    expect(phone.get_by_role("heading", level=1)).to_have_text("Audit")
    expect(phone.get_by_role("link", name="Audit")).to_be_hidden()
    accessible(phone)


def test_the_colours_stay_as_chosen(page: Page) -> None:
    page.goto("/dashboard/audit")
    page.get_by_role("button", name="Dark").click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 22)"
    accessible(page)
    page.goto("/dashboard")
    expect(page.locator(".tile", has_text="In flight")).to_contain_text(re.compile(r"\d"))
    pictured(page, "dashboard-dark")


def test_a_path_of_no_page_says_so(page: Page) -> None:
    page.goto("/dashboard/nowhere")

    expect(page.get_by_role("heading", level=1)).to_have_text("Not here")
