"""The log of requests: as it grows, searched, and one request with all its attempts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.asking import ask, asked, booked
from tests.browser.conftest import accessible, pictured
from tests.docs.conftest import Demo


@pytest.fixture
def weir(demo: Demo) -> Iterator[str]:
    """A model whose first deployment never answers."""
    made = ask(
        demo,
        "POST",
        "/admin/models",
        {
            "name": "weir",
            "deployments": [
                {"provider": "lab", "model": "sim-503-idweir", "priority": 1},
                {"provider": "lab", "model": "sim-n8-f20-d5", "priority": 2},
            ],
        },
    )
    yield "weir"
    ask(demo, "DELETE", f"/admin/models/{made['id']}")


def test_requests_appear_as_they_end(page: Page, demo: Demo) -> None:
    page.goto("/dashboard/requests?key=demo")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    asked(demo, "sim-n4-idtail1")
    table = page.get_by_role("region", name="Requests")
    expect(table.get_by_text("asked as sim-n4-idtail1")).to_have_count(1)

    page.get_by_role("button", name="Pause").click()
    asked(demo, "sim-n4-idtail2")
    expect(page.get_by_text("Paused: 1 new")).to_be_visible()
    expect(table.get_by_text("asked as sim-n4-idtail2")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(table.get_by_text("asked as sim-n4-idtail2")).to_have_count(1)
    expect(table.get_by_text("asked as sim-n4-idtail1")).to_have_count(1)
    accessible(page)
    pictured(page, "dashboard-requests")

    page.get_by_role("button", name="Stop").click()
    expect(page).to_have_url(re.compile("live=off"))
    expect(page.get_by_role("button", name="Watch live")).to_be_visible()


def test_filters_are_in_the_address_and_in_the_export(page: Page, demo: Demo) -> None:
    asked(demo, "sim-400-idpool", status=400)
    asked(demo, "sim-n4-idpool")
    page.goto("/dashboard/requests")
    page.get_by_label("Model", exact=True).fill("sim*")
    page.get_by_label("Failed only").check()
    expect(page).to_have_url(re.compile(r"model=sim\*&failed=true|failed=true&model=sim\*"))
    table = page.get_by_role("region", name="Requests")
    expect(table.get_by_text("asked as sim-400-idpool").first).to_be_visible()
    expect(table.get_by_text("asked as sim-n4-idpool")).to_have_count(0)

    page.reload()
    expect(page.get_by_label("Model", exact=True)).to_have_value("sim*")
    expect(table.get_by_text("asked as sim-400-idpool").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("rid,at,")
    assert len(lines) > 1
    assert all("sim-n4-idpool" not in line for line in lines)

    page.get_by_role("button", name="Clear filters").click()
    expect(table.get_by_text("asked as sim-n4-idpool").first).to_be_visible()
    page.goto("/dashboard/requests?key=nobody")
    expect(page.get_by_role("heading", name="No request fits")).to_be_visible()


def test_pages_follow_one_another(page: Page, demo: Demo) -> None:
    asked(demo, "sim-n1-idpages", 55)
    booked(demo, "sim-n1-idpages", 55)
    page.goto("/dashboard/requests?live=off")
    table = page.get_by_role("region", name="Requests")
    expect(table.locator("tbody tr")).to_have_count(50)
    first = table.locator("tbody tr a").first.get_attribute("title")
    page.get_by_role("button", name="Next page").click()
    expect(page).to_have_url(re.compile("after="))
    expect(table.locator(f"a[title='{first}']")).to_have_count(0)
    page.get_by_role("button", name="First page").click()
    expect(table.locator(f"a[title='{first}']")).to_have_count(1)


def test_one_request_has_its_attempts_as_bars(page: Page, demo: Demo, weir: str) -> None:
    asked(demo, weir)
    page.goto("/dashboard/requests?model=weir")
    page.get_by_role("region", name="Requests").get_by_text("3 attempts").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Request")

    expect(page.get_by_role("img", name=re.compile("^1. .*no answer"))).to_be_visible()
    expect(
        page.get_by_role("img", name=re.compile("^3. .*waiting for the first content"))
    ).to_be_visible()
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts.locator("tbody tr").first).to_contain_text("503")
    expect(attempts.locator("tbody tr").nth(2)).to_contain_text("ok")
    expect(page.get_by_role("button", name="Copy the id")).to_be_visible()
    expect(page.get_by_text("logging.detailed")).to_be_visible()
    accessible(page)
    pictured(page, "dashboard-request")
    page.get_by_role("link", name="weir", exact=True).click()
    expect(page).to_have_url(re.compile(r"/requests\?model=weir"))


def test_a_request_that_is_none_is_looked_for_again(page: Page) -> None:
    page.goto("/dashboard/requests/nobody")

    expect(page.get_by_role("heading", level=2)).to_have_text("There is no such request")
    expect(page.get_by_text("Looking for it again")).to_be_visible()
    accessible(page)


def test_a_phone_shows_both(phone: Page, demo: Demo) -> None:
    asked(demo, "sim-n4-idphone")
    phone.goto("/dashboard/requests")
    one = phone.get_by_role("region", name="Requests").get_by_role("link").first
    expect(one).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(phone)
    one.click()

    expect(phone.get_by_role("heading", name="When what happened")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(phone)
