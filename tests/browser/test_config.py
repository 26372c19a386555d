"""The configuration: where objects come from, settings, documents in and out, and what all workers do at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PHONE, accessible, opened, pictured
from tests.browser.serving import Served, served

TEXT = """\
admin: {anonymous: true, port: 0}
providers:
  filed: {base_url: "http://127.0.0.1:9", allow_private: true, credentials: [sk-filed-0123456789]}
models:
  filed/model: {deployments: [{provider: filed, model: up}]}
"""
DOCUMENT = """\
providers:
  lab: {base_url: "http://127.0.0.1:9", allow_private: true, credentials: [sk-lab-0123456789]}
models:
  acme: {description: Second, timeouts: {ttft: 5s}, deployments: [{provider: lab, model: up}]}
"""


class Place:
    """An installation of this module alone: its settings are changed."""

    def __init__(self, served: Served, file: Path) -> None:
        self.url = f"http://{served.admin}"
        self.file = file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("config")
    with served(folder, TEXT) as one:
        yield Place(one, folder / "headrace.yaml")


@pytest.fixture
def page(browser: Browser, place: Place) -> Iterator[Page]:
    yield from opened(browser, place.url)


@pytest.fixture
def phone(browser: Browser, place: Place) -> Iterator[Page]:
    yield from opened(browser, place.url, **PHONE)


def _row(page: Page, table: str, name: str) -> Locator:
    return page.get_by_role("region", name=table).get_by_role("row").filter(has_text=name)


def _look(page: Page, document: str) -> Locator:
    page.get_by_label("or paste it").fill(document)
    page.get_by_role("button", name="Show what it would change").click()
    return page.get_by_label("What it changes")


def _import(page: Page, words: str, *, delete: bool = False) -> None:
    page.get_by_role("button", name=f"Import: {words}").click()
    dialog = page.get_by_role("dialog")
    if delete:
        expect(dialog.get_by_role("button", name="Import")).to_be_disabled()
        dialog.get_by_label("Type delete to go on").fill("delete")
    dialog.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()


@pytest.mark.parametrize(
    "document",
    ["{providers: {}, limits: {rpm: 600}}", '{"providers": {}, "limits": {"rpm": 600}}'],
)
def test_a_document_in_braces_is_yaml_or_json(page: Page, document: str) -> None:
    page.goto("/dashboard/config?view=transfer")
    expect(_look(page, document)).to_contain_text("1 new")


def test_an_object_of_the_file_is_shown_with_its_line(page: Page, place: Place) -> None:
    page.goto("/dashboard/config")
    expect(page.get_by_text(str(place.file))).to_be_visible()
    expect(_row(page, "Objects", "filed")).to_contain_text(
        re.compile(r"file, line \d+ · read-only")
    )
    accessible(page)
    page.get_by_role("button", name="filed").click()
    dialog = page.get_by_role("dialog", name="filed")
    expect(dialog).to_contain_text("http://127.0.0.1:9")
    assert "sk-filed" not in page.content()
    accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Search").fill("nothing like it")
    expect(page.get_by_role("heading", name="None like that")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?q=nothing\+like\+it$"))
    page.get_by_label("Kind").select_option("sections")
    expect(_row(page, "Sections of the file", "admin")).to_contain_text("4")


def test_a_document_is_looked_at_before_it_is_taken_in(page: Page) -> None:
    page.goto("/dashboard/config?view=transfer")
    _look(page, DOCUMENT.replace("5s", "soon"))
    expect(page.get_by_role("alert")).to_contain_text("models.acme.timeouts.ttft")
    _look(page, "providers: [")
    expect(page.get_by_role("alert")).to_contain_text("line 2")

    shown = _look(page, DOCUMENT)
    expect(shown).to_contain_text("4 new")
    _import(page, "4 new, 0 changed, 0 deleted")
    shown = _look(page, DOCUMENT)
    expect(shown).to_contain_text("Nothing to change")
    shown = _look(page, DOCUMENT.replace("5s", "7s").replace("Second", "<b>Third</b>"))
    fields = shown.get_by_role("region", name="Fields of model acme")
    expect(fields.get_by_role("row").filter(has_text="timeouts.ttft")).to_have_text(
        "timeouts.ttft5s7s"
    )
    expect(fields).to_contain_text("<b>Third</b>")
    accessible(page)
    page.get_by_role("button", name="Import: 0 new").scroll_into_view_if_needed()
    pictured(page, "dashboard-import")
    _import(page, "0 new, 1 changed, 0 deleted")
    page.goto("/dashboard/config?kind=models&source=store")
    expect(_row(page, "Objects", "acme")).to_contain_text(re.compile(r"database, revision \d+"))

    _empty(page)


def _empty(page: Page) -> None:
    page.goto("/dashboard/config?view=transfer")
    page.get_by_role("button", name="Replace everything").click()
    shown = _look(page, "{}")
    expect(shown).to_contain_text("2 deleted")
    _import(page, "0 new, 0 changed, 2 deleted", delete=True)


def test_the_database_is_downloaded(page: Page) -> None:
    page.goto("/dashboard/config?view=transfer")
    _look(page, DOCUMENT)
    _import(page, "4 new, 0 changed, 0 deleted")
    texts = []
    for secrets in ("References", "Left out", "Encrypted"):
        page.get_by_label("Secrets").select_option(label=secrets)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "headrace-export.yaml"
        texts.append(Path(download.value.path()).read_text())

    assert all("acme" in text and "sk-lab" not in text for text in texts)
    assert "${HEADRACE_LAB_KEY" in texts[0]
    _empty(page)


def test_a_setting_is_edited_and_the_edit_taken_back(page: Page) -> None:
    page.goto("/dashboard/config?view=settings")
    page.get_by_role("button", name="Edit logging").click()
    dialog = page.get_by_role("dialog", name="Setting logging")
    dialog.get_by_label("max_content").fill("many")
    dialog.get_by_label("level").select_option(label="warning")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("max_content")).to_have_attribute("aria-invalid", "true")
    accessible(page)
    dialog.get_by_label("max_content").fill("500")
    dialog.get_by_role("button", name="Save").click()
    expect(_row(page, "Settings", "logging")).to_contain_text("database, revision")
    page.get_by_role("button", name="Edit logging").click()
    expect(page.get_by_role("dialog").get_by_label("max_content")).to_have_value("500")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Undo").click()

    expect(_row(page, "Settings", "logging")).to_contain_text("nobody")
    _row(page, "Settings", "defaults").get_by_text("What applies where").click()
    dialog = page.get_by_role("dialog", name="Setting defaults")
    dialog.get_by_label("timeouts.ttft").fill("9s")
    dialog.get_by_label("retry.count").fill("-1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("retry.count")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("retry.count").fill("1")
    dialog.get_by_role("button", name="Save").click()
    expect(_row(page, "Settings", "defaults")).to_contain_text("database, revision")
    said = page.evaluate("fetch('/admin/settings/defaults').then((said) => said.json())")
    assert (said["timeouts"]["ttft"], said["retry"]["count"]) == ("9s", 1)
    page.get_by_role("button", name="Undo").click()
    expect(_row(page, "Settings", "defaults")).to_contain_text("nobody")
    page.get_by_role("button", name="Edit teams").click()
    dialog = page.get_by_role("dialog", name="Setting teams")
    dialog.get_by_label("teams").fill('{"red": {"rpm": 5}}')
    dialog.get_by_role("button", name="Save").click()
    expect(_row(page, "Settings", "teams")).to_contain_text("database, revision")
    page.get_by_role("button", name="Take teams out of the database").click()
    page.get_by_role("dialog").get_by_role("button", name="Take out").click()
    expect(_row(page, "Settings", "teams")).to_contain_text("nobody")


def test_the_file_is_read_anew_by_every_worker(page: Page, place: Place) -> None:
    written = place.file.read_text()
    page.goto("/dashboard/config?kind=models")
    try:
        place.file.write_text(written.replace("filed/model", "filed/another"))
        _at_once(page, "Reload the file", "Reload")
        expect(page.get_by_text("The file was read anew.")).to_be_visible()
        page.reload()
        expect(_row(page, "Objects", "filed/another")).to_contain_text("file, line")
        place.file.write_text(f"{written}\nnonsense: 1\n")
        _at_once(page, "Reload the file", "Reload")
        expect(page.get_by_role("alert")).to_contain_text("nonsense")
        page.get_by_role("button", name="Cancel").click()
    finally:
        place.file.write_text(written)
    _at_once(page, "Reload the file", "Reload")
    expect(page.get_by_role("dialog")).to_have_count(0)
    _at_once(page, "Clear caches", "Clear")
    expect(page.get_by_text("The caches are empty.")).to_be_visible()
    _at_once(page, "Reset statistics", "Reset")
    expect(page.get_by_text("Statistics count anew.")).to_be_visible()


def _at_once(page: Page, button: str, action: str) -> None:
    page.get_by_role("button", name=button).click()
    page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()


def test_workers_say_what_they_serve(page: Page) -> None:
    page.goto("/dashboard/config?view=workers")

    expect(page.get_by_role("region", name="Workers").get_by_role("row").nth(1)).to_contain_text("up to date")  # fmt: skip
    accessible(page)


def test_a_phone_shows_it_in_the_dark(phone: Page) -> None:
    for view in ("objects", "settings", "transfer", "workers"):
        phone.goto(f"/dashboard/config?view={view}")
        expect(phone.get_by_role("tab", selected=True)).to_be_visible()
        expect(phone.get_by_role("status", name="Loading")).to_have_count(0)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        if view == "settings":
            accessible(phone)
