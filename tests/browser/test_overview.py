"""The overview: what goes on now, how it went, and what to do before anybody has asked anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.asking import ask, asked, until
from tests.browser.conftest import accessible, opened
from tests.browser.serving import served
from tests.docs.conftest import Demo


@pytest.fixture
def idle(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """Nobody has asked anything yet."""
    text = (
        "admin: {port: 0, anonymous: true}\n"
        "providers: {lab: {base_url: 'http://127.0.0.1:9', allow_private: true, credentials: [a]}}\n"
        "models: {quiet: {deployments: [{provider: lab}]}}\n"
    )
    with served(tmp_path, text) as one:
        yield from opened(browser, f"http://{one.admin}")


def counted(demo: Demo, model: str = "sim*") -> None:
    """Once what the overview asks for of a day has this model in it: the page looks again only half a minute later. It asks
    for hours that end before this minute, so the first minute of an hour has to be over."""

    def is_counted() -> bool:
        end = int(time() // 60 * 60)
        path = f"/admin/statistics?group_by=model&since={end - 86_400}&until={end}&span="
        found = [ask(demo, "GET", f"{path}{span}")["data"] for span in (0, 3600)]
        return all(any(row["model"] == model for row in rows) for rows in found)

    until(is_counted, 75)


def tile(page: Page, label: str) -> str:
    return page.get_by_role("group", name="Now").locator(".tile", has_text=label).inner_text()


def test_what_goes_on_is_seen_within_seconds(page: Page, demo: Demo) -> None:
    page.goto("/dashboard")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    tiles = page.get_by_role("group", name="Now")
    expect(tiles.locator(".tile", has_text="In flight")).to_contain_text(re.compile(r"\d"))
    asked(demo, "sim-n4", 20)

    expect(tiles.locator(".tile", has_text="Overhead")).to_contain_text("p99")
    expect(tiles.locator(".tile", has_text="Tokens")).to_contain_text(re.compile(r"[1-9]\d* in"))
    expect(
        page.get_by_role("img", name="Requests per second, the last five minutes")
    ).to_be_visible()
    expect(page.get_by_text("lab: healthy")).to_be_visible()
    accessible(page)


def test_what_was_seen_is_still_there_after_another_page(page: Page, demo: Demo) -> None:
    page.goto("/dashboard")
    expect(page.locator(".tile", has_text="In flight")).to_contain_text(re.compile(r"\d"))
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    page.go_back()

    assert re.search(r"In flight\s+\d", tile(page, "In flight")), (
        "no need to wait for the next second"
    )


def test_how_it_went_is_chosen_in_the_address(page: Page, demo: Demo) -> None:
    asked(demo, "sim-n4")
    counted(demo)
    page.goto("/dashboard?range=day&by=key&share=p99")
    expect(page.get_by_role("heading", name="Keys with most requests")).to_be_visible()
    expect(page.get_by_role("heading", name="Time to first token, p99")).to_be_visible()
    page.get_by_role("button", name="Models", exact=True).click()
    expect(page).to_have_url(re.compile(r"by=model"))
    expect(page.get_by_role("heading", name="Models with most requests")).to_be_visible()

    page.get_by_role("link", name="sim*", exact=True).click()
    expect(page).to_have_url(re.compile(r"/dashboard/requests\?model=sim\*"))
    expect(page.get_by_label("Model", exact=True)).to_have_value("sim*")


def test_a_part_is_drawn_over_to_see_it_alone(page: Page, demo: Demo) -> None:
    asked(demo, "sim-n4")
    counted(demo)
    page.goto("/dashboard?range=day")
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    over = page.get_by_role("img", name="Requests per second over time").locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40, steps=4)
    page.mouse.up()

    expect(page).to_have_url(re.compile(r"from=\d+&to=\d+"))
    page.get_by_role("button", name="Show all of the day").click()
    expect(page).not_to_have_url(re.compile(r"from="))


def test_before_anybody_asked_it_says_how_to(idle: Page) -> None:
    idle.goto("/dashboard")
    expect(idle.get_by_role("heading", name="Nothing was asked yet")).to_be_visible()
    expect(idle.locator("pre")).to_contain_text('"model": "quiet"')
    expect(idle.get_by_text("Live", exact=True)).to_be_visible()
    expect(idle.locator(".tile", has_text="In flight")).to_contain_text("0")
    accessible(idle)
    idle.get_by_role("link", name="Open the playground").click()
    expect(idle.get_by_role("heading", level=1)).to_have_text("Playground")
