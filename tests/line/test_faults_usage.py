"""What becomes of usage on its way from a provider to the books: odd reports, attempts in vain, prices nobody knows.

One gateway of two workers for all of it, and a vendor that answers as it is told. What clients saw, what the database has,
what the admin API shows and what workers count in the memory they share has to be the same.
"""

from __future__ import annotations

import os
import re
import signal
import socketserver
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import orjson
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.config import load
from proxy.gateway.plausibility import Doubt
from proxy.limits.accounts import Accounts
from proxy.limits.subjects import of_key
from proxy.state.snapshot import compile_snapshot
from tests.gateway.served import STREAM, chunk, whole
from tests.line.harness import FAMILIES, Process, free_port, is_shed

pytestmark = pytest.mark.timeout(60)

ADMIN = {"authorization": "Bearer the-token-of-operators"}
RICH, PLAIN = "sk-key-with-a-budget", "sk-key-without-one"
HI = [{"role": "user", "content": "hi"}]
DEAR = {"input": 1000.0, "output": 1000.0}
"""US dollars a million: what is believed of 10^9 tokens costs a million."""
GOLDEN = {
    "input": 2.5,
    "cached": 1.25,
    "cache_write": 3.75,
    "cache_write_1h": 6,
    "output": 10,
}


class Vendor(socketserver.ThreadingTCPServer):
    """Answers each request with the next of the answers of its model, the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.answers: dict[str, list[bytes]] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def next(self, model: str) -> bytes:
        answers = self.answers[model]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Vendor)
        while line := self.rfile.readline():
            length = 0
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                if field.lower().startswith(b"content-length:"):
                    length = int(field[15:])
            body = orjson.loads(self.rfile.read(length))
            in_path = re.search(rb"/models/([^:/]+):", line)
            self.wfile.write(server.next(in_path[1].decode() if in_path else body["model"]))


class Fleet:
    """The gateway, seen from all sides."""

    def __init__(self, folder: Path, vendor: Vendor) -> None:
        self.folder, self.vendor = folder, vendor
        port = free_port()
        content = {
            "server": {"host": "127.0.0.1", "port": port, "workers": 2},
            "admin": {"host": "127.0.0.1", "port": port, "token": "the-token-of-operators"},
            "ledger": {"path": str(folder / "ledger")},
            "logging": {"format": "json"},
            "defaults": {"retry": {"count": 0, "base": 0.001, "cap": 0.002, "max_attempts": 9}},
            "providers": {
                name: {
                    "base_url": vendor.url,
                    "dialects": FAMILIES,
                    "credentials": ["upstream-secret"],
                    "allow_private": True,
                }
                for name in ("lab", "second", "third")
            },
            "health": {"enabled": False},
            "models": {
                "odd": _model({"provider": "lab", "price": DEAR}),
                "tried": _model(
                    *(
                        {"provider": name, "model": f"tried-{at}", "priority": at, "price": DEAR}
                        for at, name in enumerate(("lab", "second", "third"), 1)
                    )
                ),
                "golden": _model({"provider": "lab", "price": GOLDEN}),
                "unpriced": _model({"provider": "lab"}),
            },
            "keys": [
                {"name": "rich", "key": RICH, "budget": {"usd": 1e9}},
                {"name": "plain", "key": PLAIN},
            ],
        }
        self.process = Process(content, folder)
        self.http = requests.Session()
        self.key = of_key(
            next(
                key
                for key in compile_snapshot(load(folder / "process.yaml").config).keys.values()
                if key.name == "rich"
            )
        )

    def ask(
        self, model: str, *, key: str = RICH, path: str = "/v1/chat/completions", **fields: Any
    ) -> requests.Response:
        """Again while the gateway has too much to do: nobody has answered then, and nothing is booked."""
        body = {"model": model, "messages": HI, "max_tokens": 50, **fields}
        data, deadline = orjson.dumps(body), monotonic() + 20
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        while True:
            answer = self.http.post(self.process.url + path, data, headers=headers, timeout=10)
            if not is_shed(answer.content):
                return answer
            assert monotonic() < deadline, answer.text
            sleep(0.02)

    def shown(self, path: str) -> Any:
        """By the admin API."""
        said = self.http.get(self.process.url + path, headers=ADMIN, timeout=10)
        assert said.status_code == 200, said.text
        return said.json()

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Of the database."""
        address = f"file:{self.folder}/headrace.db?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, values)]

    def booked(self, answer: requests.Response) -> dict[str, Any]:
        """The row of a request, once it is there."""
        rid = answer.headers["x-request-id"]
        sql = "SELECT * FROM requests WHERE rid = ? AND phase = 3"
        found: dict[str, Any] = wait_for(lambda: self.rows(sql, rid))[0]
        return found

    def all_booked(self, rids: set[str]) -> list[dict[str, Any]]:
        """Their rows, once they are there."""

        def found() -> list[dict[str, Any]]:
            rows = self.rows("SELECT * FROM requests WHERE phase = 3")
            mine = [row for row in rows if row["rid"] in rids]
            return mine if len(mine) == len(rids) else []

        rows: list[dict[str, Any]] = wait_for(found)
        return rows

    def agree(self) -> None:
        """Nothing is held, and the rows, the counters and the memory say the same, and it is a price."""
        path = self.folder / "ledger" / "limits.shm"
        key = self.key
        assert key is not None

        def same() -> bool:
            with closing(Accounts.open(path, None, 2)) as accounts:
                view = accounts.view(key)
            [rows] = self.rows(
                "SELECT sum(cost) AS cost, min(cost) AS least FROM requests WHERE key = 'rich' AND phase = 3"
            )
            [counted] = self.rows(
                "SELECT sum(micro) AS micro FROM counters WHERE subject = ?", key.id
            )
            assert rows["least"] >= 0
            held = view.inflight, view.reserved
            return held == (0, 0) and view.spent == rows["cost"] == counted["micro"]

        wait_for(same)

    def metric(self, name: str, **labels: str) -> float:
        page = self.http.get(self.process.url + "/metrics", timeout=10).text
        return sum(
            float(line.rpartition(" ")[2])
            for line in page.splitlines()
            if line.startswith(name + "{")
            and all(f'{label}="{value}"' in line for label, value in labels.items())
        )


def _model(*deployments: Mapping[str, Any]) -> dict[str, Any]:
    return {"deployments": list(deployments)}


def wait_for(find: Callable[[], Any]) -> Any:
    """What it finds, once it is there."""
    deadline = monotonic() + 20
    while not (found := find()):
        assert monotonic() < deadline, "it never came"
        sleep(0.02)
    return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Vendor() as vendor:
        thread = threading.Thread(target=vendor.serve_forever, daemon=True)
        thread.start()
        one = Fleet(tmp_path_factory.mktemp("usage"), vendor)
        try:
            yield one
        finally:
            one.http.close()
            code = one.process.stop()
            vendor.shutdown()
    assert code == 0, "".join(one.process.lines)


def completion(usage: object, text: str = "hello") -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return whole(orjson.dumps({"id": "c", "choices": [choice], "usage": usage}))


def events(*chunks: object) -> bytes:
    data = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in chunks)
    return STREAM + chunk(data + b"data: [DONE]\n\n") + b"0\r\n\r\n"


def said(text: str, **more: object) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}}], **more}


OVER: dict[str, object] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def report(prompt: object, output: object, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": output, **more}


# --- odd usage ---

MICRO = 1000
"""Of one token."""
ESTIMATE = 100 * MICRO
"""More than an estimate of these answers comes to."""

ODD: dict[str, tuple[bytes, str, int | None, str]] = {
    "negative": (completion(report(-5, 2)), "suspect", None, "no_number"),
    "a word": (completion(report("many", 2)), "suspect", None, "no_number"),
    "a fraction": (completion(report(1.5, 2)), "suspect", None, "no_number"),
    "a thousand million": (completion(report(10**9, 2)), "suspect", None, "input"),
    "of the answer": (completion(report(7, 10**9)), "suspect", None, "output"),
    "beyond all numbers": (completion(report(1e30, 2)), "suspect", None, "no_number"),
    "more cached than asked": (
        completion(report(9, 2, prompt_tokens_details={"cached_tokens": 50})),
        "reported",
        11,
        "parts",
    ),
    "a total that says more": (completion(report(7, 2, total_tokens=19)), "reported", 19, ""),
    "a total beyond reason": (
        completion(report(7, 2, total_tokens=10**9)),
        "suspect",
        None,
        "output",
    ),
    "nothing but zeros": (completion(report(0, 0)), "estimated", None, "missing"),
    "no prompt": (completion(report(None, 2)), "estimated", None, "missing"),
    "no answer": (
        completion(report(7, None), "word " * 1000),
        "estimated",
        None,
        "missing",
    ),
    "not an object": (completion([7, 2]), "estimated", None, ""),
    "growing": (
        events(said("a", usage=report(7, 1)), said("b", usage=report(7, 2)), OVER),
        "reported",
        9,
        "",
    ),
    "shrinking": (
        events(said("a", usage=report(7, 900)), OVER | {"usage": report(7, 2)}),
        "reported",
        9,
        "",
    ),
    "huge at last": (
        events(said("a", usage=report(7, 2)), OVER | {"usage": report(7, 10**9)}),
        "suspect",
        None,
        "output",
    ),
}
"""The vendor's answer; whose figures are charged; tokens, None for an estimate; what is counted."""


class Odd(NamedTuple):
    """What came of all of them."""

    rows: dict[str, dict[str, Any]]
    counted: dict[Doubt, float]
    """By reason."""


@pytest.fixture(scope="module")
def odd(fleet: Fleet) -> Odd:
    rids = {}
    for name, (answer, *_) in ODD.items():
        fleet.vendor.answers["odd"] = [answer]
        got = fleet.ask("odd", stream=answer.startswith(STREAM))
        assert got.status_code == 200, got.text
        rids[got.headers["x-request-id"]] = name
    counted = {
        reason: fleet.metric("headrace_odd_usage_total", provider="lab", reason=reason)
        for reason in Doubt
    }  # on the same connection, so of the worker that served them
    return Odd({rids[row["rid"]]: row for row in fleet.all_booked(set(rids))}, counted)


@pytest.mark.parametrize("name", ODD)
def test_of_odd_usage_no_more_is_believed_than_can_be_true(
    fleet: Fleet, odd: Odd, name: str
) -> None:
    _, source, tokens, _ = ODD[name]
    row = odd.rows[name]

    assert row["source"] == source
    if tokens is None:
        assert MICRO <= row["cost"] <= (1300 * MICRO if name == "no answer" else ESTIMATE)
        assert row["estimate"] == row["cost"]
    else:
        assert row["cost"] == tokens * MICRO
    assert row["cost_upstream"] == row["cost"]
    shown = fleet.shown(f"/admin/logs/{row['rid']}")
    assert (shown["source"], shown["cost_micro"]) == (source, row["cost"])


def test_odd_usage_is_counted_by_what_is_odd_about_it(odd: Odd) -> None:
    expected = Counter(reason for *_, reason in ODD.values() if reason)

    assert {reason: count for reason, count in odd.counted.items() if count} == expected


def test_odd_usage_is_told_once_for_each_deployment_and_worker(fleet: Fleet) -> None:
    fleet.vendor.answers["odd"] = [completion(report(-1, 2))]
    for _ in range(6):
        assert fleet.ask("odd").status_code == 200

    lines = wait_for(
        lambda: [one for one in fleet.process.lines if "odd usage is reported (no_number)" in one]
    )
    assert len(lines) <= 2
    assert "odd/0:lab" in lines[0]


def test_a_figure_that_json_has_not_makes_the_answer_none(fleet: Fleet) -> None:
    nan = orjson.dumps({"choices": [], "usage": {"prompt_tokens": 7}}).replace(b"7", b"NaN")
    fleet.vendor.answers["odd"] = [whole(nan)]
    got = fleet.ask("odd")
    row = fleet.booked(got)

    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_bad_response")
    assert (row["outcome"], row["cost"], row["cost_upstream"]) == ("failed", 0, None)


COUNTS = st.one_of(
    st.integers(0, 100),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.booleans(),
    st.text(st.characters(codec="ascii"), max_size=3),
)
DETAILS = st.dictionaries(
    st.sampled_from(("cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens")),
    COUNTS,
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "seconds"), COUNTS),
        **dict.fromkeys(("prompt_tokens_details", "completion_tokens_details"), DETAILS),
    },
)


def test_whatever_usage_says_books_and_memory_agree(fleet: Fleet) -> None:
    seen: set[str] = set()

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.lists(st.one_of(REPORTS, COUNTS), min_size=1, max_size=3), st.booleans())
    def ask(usages: list[Any], stream: bool) -> None:
        parts = [said("a", usage=usage) for usage in usages]
        answer = events(*parts, OVER) if stream else completion(usages[-1])
        fleet.vendor.answers["odd"] = [answer]
        got = fleet.ask("odd", stream=stream)
        assert got.status_code == 200, got.text
        seen.add(got.headers["x-request-id"])

    ask()
    rows = fleet.all_booked(seen)
    assert all(0 <= row["cost"] <= 3_000_000 * MICRO for row in rows)
    fleet.agree()


# --- attempts in vain ---


def test_the_client_pays_for_the_attempt_that_answers_and_the_books_for_all(fleet: Fleet) -> None:
    fleet.vendor.answers |= {
        "tried-1": [whole(b'{"usage":{"prompt_tokens":99,"completion_tokens":99}}', 503)],
        "tried-2": [STREAM + chunk(b"data: %b\n\n" % orjson.dumps(BEGUN)) + b"0\r\n\r\n"],
        "tried-3": [events(said("a"), OVER | {"usage": report(7, 2)})],
    }
    got = fleet.ask("tried", stream=True)
    row = fleet.booked(got)

    assert got.status_code == 200
    assert (row["cost"], row["cost_upstream"], row["provider"]) == (9000, 16_000, "third")
    attempts = wait_for(
        lambda: fleet.rows("SELECT * FROM attempts WHERE rid = ? ORDER BY number", row["rid"])
    )
    assert [(one["provider"], one["status"], one["cost"]) for one in attempts] == [
        ("lab", 503, 0),  # an error costs nothing, whatever it says
        ("second", 200, 7000),  # it had begun, and said so
        ("third", 200, 9000),
    ]
    assert [one["outcome"] for one in attempts] == ["switch", "switch", "ok"]
    shown = fleet.shown(f"/admin/logs/{row['rid']}")
    assert [one["cost_micro"] for one in shown["attempts"]] == [0, 7000, 9000]


BEGUN = said("", usage=report(7, 0))


@pytest.mark.parametrize("usage", [report(10**9, 5), report(-1, 5), None])
def test_an_error_in_an_answer_costs_nobody_knows_what(fleet: Fleet, usage: object) -> None:
    error = {"error": {"message": "overloaded", "type": "server_error", "code": 503}}
    begun = said("", usage=usage) if usage else said("")
    broken = STREAM + chunk(
        b"data: %b\n\ndata: %b\n\n" % (orjson.dumps(begun), orjson.dumps(error))
    )
    fleet.vendor.answers |= {
        "tried-1": [whole(b"{}", 500)],
        "tried-2": [broken],
        "tried-3": [events(said("a"), OVER | {"usage": report(7, 2)})],
    }
    row = fleet.booked(fleet.ask("tried", stream=True))

    assert (row["cost"], row["cost_upstream"], row["source"]) == (9000, None, "reported")


# --- what is counted where ---

CHAT, MESSAGES, GENERATE = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1beta/models/golden:generateContent",
)
PROMPTS: dict[str, dict[str, Any]] = {
    CHAT: {},
    MESSAGES: {},
    GENERATE: {"contents": [{"parts": [{"text": "hi"}]}]},
}
OF_CHAT = completion(
    report(
        1117,
        46,
        total_tokens=1163,
        prompt_tokens_details={"cached_tokens": 1024},
        completion_tokens_details={"reasoning_tokens": 40},
    )
)
OF_MESSAGES = whole(
    orjson.dumps(
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "hello"}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 500,
                "cache_creation": {"ephemeral_1h_input_tokens": 100},
                "output_tokens": 20,
            },
        }
    )
)
OF_GENERATE = whole(
    orjson.dumps(
        {
            "candidates": [{"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
            "usageMetadata": {
                "promptTokenCount": 50,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 5,
                "totalTokenCount": 62,
            },
        }
    )
)


@pytest.mark.parametrize(
    ("path", "answer", "parts", "cost"),
    [
        # 93 x 2.5 + 1024 x 1.25 + 46 x 10 = 1972.5
        pytest.param(CHAT, OF_CHAT, (93, 1024, 0, 0, 46, 40), 1973, id="openai"),
        # 10 x 2.5 + 2000 x 1.25 + 400 x 3.75 + 100 x 6 + 20 x 10
        pytest.param(MESSAGES, OF_MESSAGES, (10, 2000, 500, 100, 20, 0), 4825, id="anthropic"),
        # 10 x 2.5 + 40 x 1.25 + 12 x 10
        pytest.param(GENERATE, OF_GENERATE, (10, 40, 0, 0, 12, 5), 195, id="gemini"),
    ],
)
def test_parts_are_disjoint_in_the_database_and_cost_to_the_microdollar(
    fleet: Fleet, path: str, answer: bytes, parts: tuple[int, ...], cost: int
) -> None:
    fleet.vendor.answers["golden"] = [answer]
    row = fleet.booked(fleet.ask("golden", path=path, **PROMPTS[path]))

    names = "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning"
    assert tuple(row[name] for name in names) == parts
    assert (row["cost"], row["cost_upstream"], row["source"]) == (cost, cost, "reported")


@pytest.mark.parametrize("wanted", [None, True, False])
def test_usage_is_asked_for_and_shown_to_who_wants_it(fleet: Fleet, wanted: bool | None) -> None:
    alone: dict[str, object] = {"id": "c", "choices": [], "usage": report(7, 2, total_tokens=9)}
    fleet.vendor.answers["golden"] = [events(said("hello"), OVER, alone)]
    more: dict[str, Any] = {}
    if wanted is not None:
        more["stream_options"] = {"include_usage": wanted}
    got = fleet.ask("golden", stream=True, **more)
    row = fleet.booked(got)

    assert (row["input"], row["output"], row["source"]) == (7, 2, "reported")
    assert (b'"usage"' in got.content) is bool(wanted)
    shown = orjson.dumps(alone)
    assert got.content.replace(b"data: %b\n\n" % shown, b"") == b"".join(
        b"data: %b\n\n" % one
        for one in (orjson.dumps(said("hello")), orjson.dumps(OVER), b"[DONE]")
    )


def test_a_price_that_nobody_knows_is_never_nothing(fleet: Fleet) -> None:
    fleet.vendor.answers["unpriced"] = [completion(report(7, 2))]
    refused = fleet.ask("unpriced")
    served = fleet.ask("unpriced", key=PLAIN)

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "price_unknown"
    assert served.status_code == 200
    rejected, row = fleet.booked(refused), fleet.booked(served)
    assert (rejected["outcome"], rejected["cost"], rejected["deployment"]) == ("rejected", 0, "")
    assert (row["cost"], row["cost_upstream"], row["input"]) == (None, None, 7)
    shown = fleet.shown(f"/admin/logs/{row['rid']}")
    assert (shown["cost_micro"], shown["cost_upstream_micro"]) == (None, None)
    [summed] = fleet.shown("/admin/statistics?span=0&group_by=model&model=unpriced")["data"]
    assert (summed["unknown_cost"], summed["cost_micro"]) == (1, 0)
    line = wait_for(
        lambda: [
            orjson.loads(one) for one in fleet.process.lines if row["rid"] in one and "{" in one
        ]
    )[0]
    assert line["input_tokens"] == 7
    assert "cost" not in line


# --- the books ---


def test_whoever_ships_may_die_at_any_moment(fleet: Fleet) -> None:
    """Batches that were booked and not acknowledged are delivered again by its successor."""
    fleet.vendor.answers["odd"] = [completion(report(7, 2))]
    seen: set[str] = set()
    for _ in range(2):
        for _ in range(15):
            seen.add(fleet.ask("odd").headers["x-request-id"])
        os.kill(wait_for(fleet.process.shipping), signal.SIGKILL)

    fleet.all_booked(seen)
    fleet.agree()
    [rows] = fleet.rows("SELECT count(*) AS all_, count(DISTINCT rid) AS each FROM requests")
    assert rows["all_"] == rows["each"]
