"""The playground: a request in each dialect, its answer as it comes, what goes wrong, and the request as a program."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import accessible, pictured
from tests.docs.conftest import Demo

KEY = "sk-headrace-demo"
WORDS = "The mill turns"
EVIL = "<img src=x onerror=hit=1></script><script>hit=1</script>\u202eabc\u202c\x1b[31m"


def _open(page: Page, query: str = "") -> None:
    page.goto(f"/dashboard/playground?model=demo-fast{query}")
    page.get_by_label("or paste a virtual key").fill(KEY)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text("pasted …demo")).to_be_visible()


def _write(page: Page, body: str) -> None:
    page.get_by_role("button", name="JSON", exact=True).click()
    page.get_by_label("Body", exact=True).fill(body)


def test_an_answer_streams_in_with_a_key_of_this_visit(page: Page) -> None:
    page.goto("/dashboard/playground?model=demo-fast")
    page.get_by_role("button", name="Use a key of this visit").click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_label("Text of the answer")).to_contain_text(WORDS)
    expect(page.get_by_text("200 · done")).to_be_visible()
    expect(page.get_by_text("12 → 60")).to_be_visible()
    expect(page.get_by_role("link", name="In the request log")).to_be_visible()
    accessible(page)
    pictured(page, "dashboard-playground")
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("region", name="Events").get_by_role("row")).to_have_count(65)
    expect(page).to_have_url(f"{_base(page)}/dashboard/playground?model=demo-fast&view=events")
    accessible(page)
    page.get_by_role("tab", name="Headers").click()
    expect(page.get_by_text("x-upstream-request-id")).to_be_visible()
    expect(page.get_by_text("upstream", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Sent").click()
    expect(page.get_by_label("Body that was sent")).to_contain_text('"include_usage": true')

    page.get_by_role("button", name="Revoke").click()

    expect(page.get_by_role("button", name="Use a key of this visit")).to_be_visible()
    left = page.evaluate("fetch('/admin/keys?q=playground-').then((said) => said.json())")
    assert left["data"] == []
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("No valid API key was given")
    expect(page.get_by_role("region", name="Requests of this visit").get_by_role("row")).to_have_count(3)  # fmt: skip


def _base(page: Page) -> str:
    return str(page.evaluate("location.origin"))


def test_every_dialect_is_asked_and_read(page: Page) -> None:
    _open(page)
    dialect = page.get_by_label("Dialect")
    for name in ("OpenAI Responses", "Anthropic Messages", "Gemini", "OpenAI Chat Completions"):
        dialect.select_option(label=name)
        for streamed in (True, False):
            page.get_by_label("Stream the answer").set_checked(streamed)
            page.get_by_role("button", name="Send").click()
            expect(page.get_by_label("Answer", exact=True)).to_contain_text(name)
            expect(page.get_by_text("200 · done")).to_be_visible()
            expect(page.get_by_label("Text of the answer")).to_contain_text(WORDS)
            expect(page.get_by_text("12 → 60")).to_be_visible()
    dialect.select_option(label="OpenAI Embeddings")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Text of the answer")).to_contain_text("Vector 1, 16 numbers")


def test_tools_are_sent_and_their_calls_shown(page: Page) -> None:
    _open(page)
    page.get_by_label("Model").fill("sim-tool")
    page.get_by_text("Tools", exact=True).click()
    page.get_by_label("Tools, as JSON").fill("[{]")
    expect(page.get_by_text("This is no JSON")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    for name in ("OpenAI Responses", "Anthropic Messages", "Gemini", "OpenAI Chat Completions"):
        page.get_by_label("Dialect").select_option(label=name)
        page.get_by_role("button", name="Put in an example").click()
        page.get_by_role("button", name="Send").click()

        expect(page.get_by_label("Answer", exact=True)).to_contain_text(name)
        expect(page.get_by_role("heading", name="Calls weather")).to_be_visible()


def test_what_a_model_says_is_text_whatever_it_is(page: Page) -> None:
    _open(page)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "model": "sim-tool",
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [
            {"role": "user", "content": EVIL},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": EVIL},
        ],
    }
    _write(page, orjson.dumps(body).decode())
    page.get_by_role("button", name="Send").click()

    shown = page.get_by_label("Text of the answer")
    expect(shown).to_contain_text("<img src=x onerror=hit=1></script><script>hit=1</script>")
    expect(shown).to_contain_text("\u241b[31m")
    assert page.evaluate("getComputedStyle(document.querySelector('pre.prose')).unicodeBidi") in ("plaintext", "isolate")  # fmt: skip
    for tab in ("Events", "Headers", "Sent"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        assert page.locator("main img, main script").count() == 0
    assert page.evaluate("typeof hit") == "undefined"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("sim-400", "400 · failed"),
        ("no such model", "404 · failed"),
    ],
)
def test_what_goes_wrong_is_said_as_the_api_says_it(page: Page, model: str, said: str) -> None:
    _open(page)
    page.get_by_label("Model").fill(model)
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_text(said)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text(re.compile("The API says:.{10,}"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("sim-n40-d5-rst", "The API says:The provider ended the stream"),
        ("sim-n40-d5-err_mid", "The API says:The engine is"),
    ],
)
def test_an_answer_that_is_cut_is_said_to_be(
    browser: Browser, demo: Demo, model: str, said: str
) -> None:
    with browser.new_context(base_url=f"http://{demo.admin}") as context:
        page = context.new_page()  # this one is allowed the error that the browser writes of it
        _open(page)
        page.get_by_label("Model").fill(model)
        page.get_by_role("button", name="Send").click()

        expect(page.get_by_text("200 · failed")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.get_by_label("Text of the answer")).to_contain_text(WORDS)


def test_a_body_that_is_no_json_is_refused_by_the_api(page: Page) -> None:
    _open(page)
    _write(page, '{"model": ')
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_text("400 · failed")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("JSON")


def test_a_stream_is_stopped(page: Page) -> None:
    _open(page)
    page.get_by_label("Model").fill("sim-n9000-d20")
    page.get_by_label("Prompt").press("Control+Enter")
    expect(page.get_by_label("Text of the answer")).to_contain_text(WORDS)
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_text("200 · stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_the_request_is_a_program_that_runs(page: Page) -> None:
    _open(page)
    page.get_by_label("Prompt").fill('It\'s "quoted" $HOME `ls` \\n é')
    programs = []
    for dialect in ("OpenAI Chat Completions", "Anthropic Messages", "Gemini"):
        page.get_by_label("Dialect").select_option(label=dialect)
        for language in ("curl", "Python") if dialect != "Anthropic Messages" else ("curl",):
            page.get_by_role("button", name=language, exact=True).click()
            text = page.get_by_label("Program").inner_text()
            assert KEY not in text
            start = ["sh", "-ec"] if language == "curl" else [sys.executable, "-c"]
            programs.append((dialect, language, [*start, text]))

    environment = {**os.environ, "HEADRACE_API_KEY": KEY}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _, _, command in programs
    ]
    for process, (dialect, language, _) in zip(running, programs, strict=True):
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, (dialect, language)
        assert ("mill" if language == "curl" else WORDS) in said, (dialect, language)


def test_a_phone_shows_it_in_the_dark(phone: Page) -> None:
    _open(phone)
    phone.get_by_role("button", name="Send").click()
    expect(phone.get_by_text("200 · done")).to_be_visible()

    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(phone)
