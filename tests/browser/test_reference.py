"""The reference of both APIs: found, read, tried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import accessible, opened, pictured
from tests.docs.conftest import Demo

KEY = "sk-headrace-demo"


@pytest.fixture
def client(browser: Browser, demo: Demo) -> Iterator[Page]:
    """The same page on the port of applications."""
    yield from opened(browser, f"http://{demo.api}")


def _go(page: Page, search: str, path: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.get_by_label("Search").fill(search)
    page.get_by_role("link", name=path).first.click()


def test_an_operation_of_the_admin_api_is_found_and_tried(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Answer a conversation")
    accessible(page)
    _go(page, "get workers", "get /admin/workers")
    expect(page.get_by_role("heading", level=1)).to_contain_text("List the workers")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_label("Answer", exact=True)).to_contain_text('"revision"')
    accessible(page)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("List the workers")


@pytest.mark.parametrize("place", ["page", "client"])
def test_a_stream_is_tried_with_ones_own_key(request: pytest.FixtureRequest, place: str) -> None:
    page: Page = request.getfixturevalue(place)
    page.goto("/docs")
    body = page.get_by_label("Body")
    body.fill(body.input_value().replace('"demo"', '"demo-fast"'))
    page.get_by_label("Virtual key").fill(KEY)
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_label("Answer", exact=True)).to_contain_text("data: [DONE]")
    pictured(page, "reference")
    assert KEY not in page.content()


def test_the_command_asks_the_listener_that_the_page_is_from(
    page: Page, client: Page, demo: Demo
) -> None:
    page.goto("/docs")
    _go(page, "get workers", "get /admin/workers")
    page.get_by_text("With curl").click()
    expect(page.locator("details pre")).to_contain_text(f"'http://{demo.admin}/admin/workers'")

    client.goto("/docs")
    client.get_by_text("With curl").click()
    expect(client.locator("details pre")).to_contain_text(f"'http://{demo.api}/v1/chat/")


def test_the_port_of_applications_says_where_the_admin_api_is(client: Page) -> None:
    client.goto("/docs")
    _go(client, "audit", "get /admin/audit")

    expect(client.get_by_role("main")).to_contain_text("on the listener of operators")


def test_a_refusal_is_shown_as_it_is(page: Page) -> None:
    page.goto("/docs#post_admin_keys")
    page.get_by_label("Body").fill('{"name": ""}')
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_label("Answer", exact=True)).to_contain_text("urn:headrace:problem:invalid")
