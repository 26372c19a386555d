"""What goes wrong around a page: addresses nobody wrote, answers that are late, lost or refused, names without end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.asking import ask, asked, booked, until
from tests.browser.conftest import opened
from tests.browser.office import Office
from tests.browser.serving import served
from tests.docs.conftest import Demo

PASSWORD = "correct horse battery staple"
CONFIG = f"admin: {{host: 127.0.0.1, port: 0, username: root, password: {PASSWORD}}}\n"
OPEN = "admin: {host: 127.0.0.1, port: 0, anonymous: true}\n"
LONG = "b-" + "name-that-a-template-made-" * 4 + "x" * 60
WIDE = """[...document.querySelectorAll('main *')]
  .filter(one => !one.closest('.scroll') && one.getBoundingClientRect().right > 360)
  .map(one => one.outerHTML.slice(0, 80))"""
"""What stands out at the right of the narrowest phone."""
HERE = "document.querySelector('script[type=module]').src"


@pytest.fixture
def narrow(browser: Browser, demo: Demo) -> Iterator[Page]:
    """The narrowest phone."""
    yield from opened(browser, f"http://{demo.admin}", viewport={"width": 360, "height": 740})


def _heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def _sign_in(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def _failing(page: Page, path: str) -> None:
    page.route(re.compile(path), lambda route: route.fulfill(status=500, body="{}"))


# --- addresses -----------------------------------------------------------------------------------


def test_an_address_that_cannot_be_decoded_still_shows_a_page(page: Page) -> None:
    page.goto("/dashboard/requests/100%")
    _heading(page, "Request")
    page.goto("/docs#%E0%A4")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Answer a conversation")


def test_a_time_in_the_address_that_is_none_does_not_break_the_page(page: Page) -> None:
    page.goto("/dashboard/requests?since=yesterday")
    _heading(page, "Requests")
    expect(page.get_by_label("From", exact=True)).to_have_value("")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("region", name="Requests").or_(page.get_by_text("Nothing was asked yet"))).to_be_visible()  # fmt: skip


def test_a_page_that_failed_is_tried_again_at_another_address(page: Page) -> None:
    page.goto("/dashboard/requests")
    _heading(page, "Requests")
    page.route(re.compile(r"/admin/logs/broken"), lambda route: route.fulfill(json={"state": "x"}))
    page.evaluate("history.pushState(null, '', '/dashboard/requests/broken')")
    page.evaluate("dispatchEvent(new Event('route'))")
    expect(page.get_by_text("This page failed")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Model", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/providers", "Providers"),
        ("/models", "Models"),
        ("/keys", "Keys and teams"),
        ("/config", "Configuration"),
    ],
)
def test_a_filter_that_is_gone_from_the_address_is_gone_from_its_field(
    page: Page, path: str, link: str
) -> None:
    page.goto(f"/dashboard{path}?q=zebra")
    field = page.get_by_role("searchbox").first
    expect(field).to_have_value("zebra")
    page.get_by_role("link", name=link, exact=True).click()
    expect(page).not_to_have_url(re.compile("zebra"))
    expect(field).to_have_value("")


def test_a_time_that_is_emptied_keeps_its_field(page: Page) -> None:
    page.goto("/dashboard/requests?since=1700000000")
    page.get_by_label("From", exact=True).fill("")
    expect(page).not_to_have_url(re.compile("since"))
    expect(page.get_by_label("From", exact=True)).to_be_visible()


def test_the_reference_is_skipped_to_and_opened_by_its_kind(page: Page) -> None:
    page.goto("/docs#post_admin_keys")
    title = page.get_by_role("heading", level=1)
    expect(title).not_to_contain_text("Answer a conversation")
    page.get_by_role("link", name="Skip to the operation").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(title).not_to_contain_text("Answer a conversation")
    page.goto("/docs#tag/providers")
    expect(page.locator("[aria-current=page]")).to_contain_text("/admin/providers")


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_slower_than_the_next_question_is_shown(page: Page) -> None:
    page.clock.install()
    late: list[Route] = []
    page.route(re.compile(r"/admin/providers/lab\?"), lambda route: late.append(route))
    with page.expect_request(re.compile(r"/admin/providers/lab\?")):
        page.goto("/dashboard/providers/lab")
    page.clock.run_for(6_000)
    late[0].continue_()
    _heading(page, "lab")
    assert len(late) == 1, "no other was asked meanwhile"


def test_what_is_not_known_is_no_zero_and_no_missing_limit(page: Page) -> None:
    _failing(page, "/admin/(usage|statistics)")
    page.goto("/dashboard/keys")
    row = page.get_by_role("row", name=re.compile("demo"))
    expect(row).to_be_visible()
    expect(row).not_to_contain_text("no limit")
    expect(row).not_to_contain_text("$0")
    page.goto("/dashboard/providers")
    row = page.get_by_role("row", name=re.compile("lab"))
    expect(row.get_by_role("cell").nth(5)).to_have_text("\u2013")


def test_another_clock_than_the_servers_still_sees_what_goes_on(page: Page) -> None:
    page.clock.install(time=time() + 3600)
    page.goto("/dashboard")
    expect(page.locator(".tile", has_text="In flight")).to_contain_text(re.compile(r"\d"))


def test_what_is_imported_is_what_was_looked_at(page: Page) -> None:
    page.goto("/dashboard/config?view=transfer")
    text = page.get_by_label("or paste it")
    look = page.get_by_role("button", name="Show what it would change")
    late: list[Route] = []
    page.route(re.compile("/admin/config/import"), lambda route: late.append(route))
    text.fill("models: {b-one: {deployments: [{provider: lab}]}}")
    with page.expect_request(re.compile("/admin/config/import")):
        look.click()
    text.fill("models: {b-other: {deployments: [{provider: lab}]}}")
    late[0].continue_()
    expect(look).to_be_enabled()
    expect(page.get_by_role("button", name=re.compile("^Import:"))).to_have_count(0)


def test_a_key_that_was_deleted_elsewhere_is_forgotten(page: Page, demo: Demo) -> None:
    page.goto("/dashboard/playground")
    page.get_by_role("button", name="Use a key of this visit").click()
    name = page.get_by_text(re.compile(r"playground-\w+ …")).inner_text().split()[0]
    key = ask(demo, "GET", f"/admin/keys?q={name}")["data"][0]
    ask(demo, "DELETE", f"/admin/keys/{key['id']}")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Use a key of this visit")).to_be_visible()


def test_a_session_is_gone_on_with_beside_another_tab(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, CONFIG) as server:
        for page in opened(browser, f"http://{server.admin}"):
            page.goto("/dashboard/keys")
            _sign_in(page)
            _heading(page, "Keys and teams")
            other = page.context.new_page()
            other.goto("/dashboard/audit")
            other.get_by_role("button", name="Sign out").click()
            _sign_in(other)
            _heading(other, "Overview")
            page.get_by_role("button", name="New key").click()
            page.get_by_role("dialog").get_by_label("Name", exact=True).fill("b-tab")
            page.get_by_role("button", name="Make the key").click()
            expect(page.get_by_role("dialog", name="The new key")).to_be_visible()
            page.get_by_role("button", name="I have it").click()
            page.route(re.compile("/admin/logout"), lambda route: route.fulfill(status=500))
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_text("The server answered 500.")).to_be_visible()


def test_the_audit_stays_while_one_looks_at_it(page: Page, demo: Demo) -> None:
    ask(demo, "DELETE", f"/admin/keys/{ask(demo, 'POST', '/admin/keys', {'name': 'b-seen'})['id']}")
    page.clock.install()
    seen: list[str] = []
    page.on("request", lambda one: seen.append(one.url) if "/admin/audit" in one.url else None)
    page.goto("/dashboard/audit?span=3600")
    rows = page.get_by_role("region", name="Changes").get_by_role("row")
    expect(rows.nth(1)).to_be_visible()
    page.clock.fast_forward(90_000)
    rows.nth(1).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert len(seen) == 1


def test_a_request_that_does_not_exist_is_given_up(page: Page) -> None:
    page.clock.install()
    seen: list[str] = []
    page.on("request", lambda one: seen.append(one.url) if "/admin/logs/gone" in one.url else None)
    page.goto("/dashboard/requests/gone")
    expect(page.get_by_role("heading", level=2)).to_have_text("There is no such request")
    for seconds in (1, 2, 4, 8):
        expect(page.get_by_text("Looking for it again")).to_be_visible()
        with page.expect_response(re.compile("/admin/logs/gone")):
            page.clock.run_for(seconds * 1000 + 100)
    again = page.get_by_role("button", name="Look again")
    expect(again).to_be_visible()
    before = len(seen)
    page.clock.run_for(600_000)
    assert len(seen) == before
    again.click()
    expect(page.get_by_text("Looking for it again")).to_be_visible()


def test_a_paused_log_stays_when_it_is_connected_anew(page: Page, demo: Demo) -> None:
    page.goto("/dashboard/requests?key=demo")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    table = page.get_by_role("region", name="Requests")
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    asked(demo, "sim-n4-idpaused")
    booked(demo, "sim-n4-idpaused", 1)
    read: list[str] = []
    page.on("request", lambda one: read.append(one.url) if "/admin/logs?" in one.url else None)
    with page.expect_response(re.compile("/admin/logs/live")):
        page.evaluate("""() => {
            Object.defineProperty(document, 'hidden', {value: false, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""")
    new = page.get_by_text(re.compile(r"Paused: \d+ new"))

    def came() -> bool:
        asked(demo, "sim-n4-idsince")
        return new.count() > 0

    until(came)
    assert read == []
    expect(table.get_by_text("asked as sim-n4-idpaused")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(table.get_by_text("asked as sim-n4-idpaused")).to_have_count(1)
    expect(table.get_by_text("asked as sim-n4-idsince").first).to_be_visible()


# --- names ---------------------------------------------------------------------------------------


ODD = ("constructor", "__proto__", "live")
"""What an object has without anybody having put it there, and what only some objects of the admin API have."""


def test_a_team_may_be_called_as_anything_an_object_has(page: Page, demo: Demo) -> None:
    for name in ODD:
        made = ask(demo, "POST", "/admin/keys", {"name": f"b-{name}", "team": name})
        asked(demo, "sim-n4", key=made["key"])
    page.goto("/dashboard/keys?tab=teams")
    try:
        for name in ODD:
            row = page.get_by_role("region", name="Teams").get_by_role("row", name=name)
            expect(row).to_contain_text("no limit")
            expect(row.get_by_role("button", name="Take limits away")).to_have_count(0)
            row.get_by_role("button", name="Change").click()
            dialog = page.get_by_role("dialog", name=f"Limits of {name}")
            expect(dialog.get_by_label("Requests a minute")).to_have_value("")
            dialog.get_by_label("Requests a minute").fill("41")
            dialog.get_by_role("button", name="Save").click()
            expect(row).to_contain_text("41 requests a minute")
        page.goto("/dashboard/config?view=settings")
        page.get_by_role("button", name="Edit teams").click()
        expect(page.get_by_label("teams", exact=True)).to_have_value(re.compile('"live"'))
    finally:
        teams = ask(demo, "GET", "/admin/settings?name=teams")["data"][0]
        ask(demo, "DELETE", f"/admin/settings/{teams['id']}")
        for name in ODD:
            key = ask(demo, "GET", f"/admin/keys?name=b-{name}")["data"][0]
            ask(demo, "DELETE", f"/admin/keys/{key['id']}")


@pytest.mark.parametrize("name", ["name", "id", "keys"])
def test_a_team_that_cannot_be_called_so_is_refused_at_its_field(page: Page, name: str) -> None:
    page.goto("/dashboard/keys?tab=teams")
    page.get_by_role("button", name="Limit a team").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Team").fill(name)
    dialog.get_by_label("Requests a minute").fill("41")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Team")).to_have_attribute("aria-invalid", "true")
    expect(dialog.locator(".fault")).to_contain_text("a name of its own")


def test_teams_of_the_file_and_of_the_store_are_shown(browser: Browser, tmp_path: Path) -> None:
    teams = "teams: {of-file: {rpm: 31}, of-both: {rpm: 32}}\n"
    with served(tmp_path, f"{OPEN}{teams}") as server:
        for page in opened(browser, f"http://{server.admin}"):
            page.goto("/dashboard/keys?tab=teams")
            rows = page.get_by_role("region", name="Teams").get_by_role("row")
            expect(rows.filter(has_text="of-file")).to_contain_text("31 requests a minute")
            page.get_by_role("button", name="Limit a team").click()
            dialog = page.get_by_role("dialog", name="Limit a team")
            dialog.get_by_label("Team").fill("of-store")
            dialog.get_by_label("Requests a minute").fill("33")
            dialog.get_by_role("button", name="Save").click()
            made = rows.filter(has_text="of-store")
            expect(made).to_contain_text("33 requests a minute")
            expect(made.get_by_role("button", name="Change")).to_be_visible()
            page.get_by_role("button", name="Limit a team").click()
            dialog.get_by_label("Team").fill("of-both")
            dialog.get_by_label("Tokens a minute").fill("34")
            dialog.get_by_role("button", name="Save").click()
            expect(dialog).to_have_count(0)
            expect(rows.filter(has_text="of-both")).to_contain_text("32 requests a minute")
            for name in ("of-file", "of-both"):
                row = rows.filter(has_text=name)
                expect(row.locator(".badge", has_text="file")).to_be_visible()
                expect(row.get_by_role("button")).to_have_count(0)


def test_limits_of_any_key_are_known(browser: Browser, tmp_path: Path) -> None:
    keys = [f"{{name: 'k,{n:04}', key: sk-one-of-many-keys-{n:04}, rpm: 44}}" for n in range(1050)]
    with served(tmp_path, f"{OPEN}keys: [{', '.join(keys)}]\n") as server:
        for page in opened(browser, f"http://{server.admin}"):
            page.goto("/dashboard/keys?q=1049")
            row = page.get_by_role("row", name=re.compile("k,1049"))
            expect(row).to_contain_text("44 requests a minute")


# --- sizes ---------------------------------------------------------------------------------------


def test_a_long_name_fits_the_narrowest_phone(narrow: Page, office: Office) -> None:
    office.provider(LONG)
    office.model(LONG, {"provider": LONG})
    for path in ("", "/providers", f"/providers/{LONG}", "/models", f"/models/{LONG}"):
        narrow.goto(f"/dashboard{path}")
        expect(narrow.get_by_text(re.compile(LONG)).first).to_be_visible()
        assert narrow.evaluate(WIDE) == [], path


def test_a_line_of_words_stays_one_on_the_narrowest_phone(narrow: Page, demo: Demo) -> None:
    high = "all => all.map(one => one.getBoundingClientRect().height)"
    narrow.goto("/dashboard/config")
    tabs = narrow.get_by_role("tab")
    expect(tabs.first).to_be_visible()
    assert max(tabs.evaluate_all(high)) < 50
    narrow.goto("/dashboard/playground")
    label = narrow.locator("label", has_text="or paste a virtual key")
    expect(label).to_be_visible()
    assert max(label.evaluate_all(high)) < 30


def test_figures_of_a_request_stand_beside_each_other(narrow: Page, demo: Demo) -> None:
    asked(demo, "sim-n4-idbeside")
    booked(demo, "sim-n4-idbeside", 1)
    one = ask(demo, "GET", "/admin/logs?asked=sim-n4-idbeside")["items"][0]
    narrow.goto(f"/dashboard/requests/{one['rid']}")
    figures = narrow.locator(".tiles.flat > div")
    expect(figures.first).to_be_visible()
    tops = figures.evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert tops[0] == tops[1]


def test_more_credentials_than_a_page_has_are_reached(page: Page, office: Office) -> None:
    office.provider("b-many", credentials=[f"sk-many-{n:04}" for n in range(205)])
    page.goto("/dashboard/providers/b-many")
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_role("button", name="First page")).to_be_visible()
    expect(page.get_by_role("region", name="Credentials").get_by_role("row")).to_have_count(6)


def test_small_numbers_are_no_zeros(page: Page) -> None:
    page.goto("/dashboard")
    said = page.evaluate(
        f"""async () => {{
            const {{ count, percent, duration }} = await import(new URL('ui.js', {HERE}).href);
            return [count(0), count(0.0167), count(0.26), count(1234.56), percent(0.0004), percent(0.9996), percent(1),
              duration(0), duration(0.0000004), duration(0.05)];
        }}"""
    )
    assert said == [
        "0", "0.017", "0.26", "1,234.6", "0.04 %", "99.96 %", "100 %", "0", "0.4 µs", "50 ms"
    ]  # fmt: skip


# --- hands ---------------------------------------------------------------------------------------


def test_a_keys_dialog_gives_the_focus_back(page: Page) -> None:
    page.goto("/dashboard/keys")
    link = page.get_by_role("link", name="demo", exact=True)
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="demo")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(link).to_be_focused()


def test_an_emptied_weight_is_not_saved_as_none(page: Page, office: Office) -> None:
    office.provider("b-weigh")
    office.model("b-weighed", {"provider": "b-weigh"})
    page.goto("/dashboard/models/b-weighed")
    field = page.get_by_label(re.compile("Weight of"))
    field.fill("7")
    expect(page.get_by_text("1 not saved")).to_be_visible()
    field.fill("")
    expect(page.get_by_text("1 not saved")).to_have_count(0)


def test_a_body_that_was_written_stays_and_asks_for_the_model_that_is_chosen(page: Page) -> None:
    page.goto("/dashboard/playground")
    page.get_by_role("button", name="JSON").click()
    body = page.get_by_label("Body")
    body.fill('{"model": "demo", "messages": [], "seed": 7}')
    page.get_by_role("link", name="Audit", exact=True).click()
    _heading(page, "Audit")
    page.go_back()
    expect(body).to_have_value(re.compile('"seed": 7'))
    page.get_by_label("Model", exact=True).fill("demo-fast")
    expect(body).to_have_value(re.compile('"model": "demo-fast"[^}]*"seed": 7'))


def test_without_a_clipboard_it_is_copied_all_the_same(page: Page, demo: Demo) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto("/dashboard/keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("b-copied")
    page.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("dialog", name="The new key")
    key = shown.locator("[data-secret]").inner_text()
    shown.get_by_role("button", name="Copy key").click()
    expect(shown.get_by_role("button", name="Copied")).to_be_focused()
    shown.get_by_role("button", name="I have it").click()
    field = page.get_by_role("searchbox", name="Name")
    field.focus()
    page.keyboard.press("Control+v")
    expect(field).to_have_value(key)
    made = ask(demo, "GET", "/admin/keys?name=b-copied")["data"][0]
    ask(demo, "DELETE", f"/admin/keys/{made['id']}")


def test_the_legend_of_a_chart_begins_at_its_edge(page: Page, demo: Demo) -> None:
    asked(demo, "sim-n4")
    page.goto("/dashboard?range=day")
    legend = page.locator(".chart .u-legend").first
    expect(legend).to_be_visible()
    left = "one => one.getBoundingClientRect().left"
    first = legend.locator(".u-series").nth(1)
    assert first.evaluate(left) - legend.evaluate(left) < 5
    legend.locator("xpath=..").locator(".u-over").hover()
    expect(legend.locator(".u-series").first).to_contain_text(":")
    assert first.evaluate(left) - legend.evaluate(left) < 5
