"""What is wrong with limits, prices and the ledger is said where it stands."""

from __future__ import annotations

import pytest

from proxy.core.config import ConfigError, parse

DEPLOYMENT = (
    "providers: {p: {base_url: 'https://a.example', credentials: [k]}}\n"
    "models: {m: {deployments: [{provider: p, %s}]}}"
)
KEY = "keys: [{name: k, key: sk-application, %s}]"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "h.yaml", {})
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def only(text: str) -> str:
    [found] = problems(text)
    return found


# --- calendars ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits: {budget: {usd: 1, cron: '0 0 * *'}}", "limits.budget.cron: expected five fields ("),
        ("teams: {a: {budget: {usd: 1, cron: '5 0 * * *'}}}", "teams.a.budget.cron: expected a cron expression that fits, found '5 0 * * *'; a budget begins on a quarter of an hour"),
        ("limits: {budget: {usd: 1, cron: '0 0 31 2 *'}}", "found '0 0 31 2 *'; it never happens"),
        (KEY % "budget: {usd: 1, tz: Mars/Olympus}", "keys[0].budget.tz: expected the name of a time zone, such as 'UTC' or 'Europe/Berlin', found 'Mars/Olympus'"),
        (KEY % "budget: {usd: 1, tz: ../UTC}", "keys[0].budget.tz: expected the name of a time zone"),
        (DEPLOYMENT % "quota: {requests: 1, cron: '0 25 * * *'}", "models.m.deployments[0].quota.cron: expected 0 to 23 as the hour"),
        ("limits: {budget: {usd: 1, cron: sk-0123456789abcdef}}", "limits.budget.cron: expected five fields (minute, hour, day of month, month and day of week), such as '0 0 * * *', found text that may not be shown"),
    ],
)  # fmt: skip
def test_a_window_begins_at_a_time_there_is(text: str, words: str) -> None:
    assert words in only(text)


def test_the_quota_of_a_deployment_may_begin_at_any_minute() -> None:
    text = DEPLOYMENT % "quota: {requests: 1, cron: '7 0 * * *', tz: Asia/Kathmandu}"

    quota = parse(text, "h.yaml", {}).config.models["m"].deployments[0].quota

    assert quota is not None
    assert quota.cron == "7 0 * * *"


@pytest.mark.parametrize("where", ["limits: {%s}", "teams: {a: {%s}}", KEY])  # fmt: skip
def test_a_budget_has_one_kind_of_window(where: str) -> None:
    found = only(where % "budget: {usd: 1, period: day, cron: '0 0 * * *'}")

    assert found.endswith("budget.cron: expected period or cron, found both; remove one")


# --- prices ---


@pytest.mark.parametrize("where", ["prices: {m: %s}", "defaults: {price_unknown: %s}", DEPLOYMENT % "price: %s"])  # fmt: skip
def test_a_long_prompt_alone_has_no_price(where: str) -> None:
    found = only(where % "{above: {1000: {input: 1}}}")

    assert ".above: expected the prices of a short prompt too, found none" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prices: {m: {input: -1}}", "prices.m.input: expected a number of at least 0"),
        ("prices: {m: {output: .nan}}", "prices.m.output: expected a number"),
        ("prices: {m: {inptu: 1}}", "prices.m.inptu: expected a known field, found 'inptu'; did you mean 'input'?"),
        ("prices: {m: {input: 1, above: {many: {input: 1}}}}", "prices.m.above.many: expected a whole number"),
        ("prices: {m: {input: 1, above: {0: {input: 1}}}}", "prices.m.above.0: expected a number of at least 1"),
        ("prices: {m: {input: 1, above: {5: {above: {}}}}}", "prices.m.above.5.above: expected a known field"),
        ("prices: {'a*b': {input: 1}}", "expected at most one '*', at the end of the name, found 'a*b'"),
        ("prices: {m: 4}", "prices.m: expected a mapping, found 4"),
        ("prices: [4]", "prices: expected a mapping, found a list"),
        ("defaults: {price_unknown: refuze}", "defaults.price_unknown: expected refuse, or a price such as"),
        ("defaults: {price_unknown: {inptu: 1}}", "defaults.price_unknown.inptu: expected a known field"),
    ],
)  # fmt: skip
def test_what_is_no_price(text: str, words: str) -> None:
    assert words in only(text)


def test_what_is_not_known_may_be_refused_or_have_a_price() -> None:
    def unknown(said: str) -> object:
        return parse(f"defaults: {{price_unknown: {said}}}", "f", {}).config.defaults.price_unknown

    assert unknown("Refuse") is unknown("null") is None
    assert unknown("{input: 5}") is not None


# --- names of one's own ---


@pytest.mark.parametrize("name", ["id", "keys", "name", "warnings"])
@pytest.mark.parametrize("section", ["teams", "prices"])
def test_a_name_that_pages_have_is_taken(section: str, name: str) -> None:
    found = only(f"{section}: {{{name}: {{}}}}")

    assert (
        found
        == f"{section}.{name}: expected a name of its own under {section}, found {name!r}, which the admin API has"
    )


def test_a_name_may_be_anything_else() -> None:
    text = (
        "teams: {model_fields: {rpm: 1}, _x: {rpm: 2}, copy: {rpm: 3}, 'a b': {rpm: 4}, off: null}"
    )

    teams = parse(text, "h.yaml", {}).config.teams.entries()

    assert {name: item.rpm for name, item in teams.items()} == {
        "model_fields": 1, "_x": 2, "copy": 3, "a b": 4,
    }  # fmt: skip


# --- shared, ledger ---


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "rediss://u:p@h:6380/1", "valkey://[::1]:6379/0", "redis://:p@s/s#w?o[r%@h:1/0", "unix:///run/redis.sock?db=1", "", "REDIS://h",
    ],
)  # fmt: skip
def test_a_server_of_shared_limits(url: str) -> None:
    shared = parse(f"shared: {{url: '{url}'}}", "h.yaml", {}).config.shared

    assert (shared.url is not None) == bool(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://u:geheim@h", "expected a URL that begins with redis, rediss, valkey, unix, found another one"),
        ("geheim", "expected a URL that begins with"),
        ("redis://:geheim@", "expected a URL with a host, found one without"),
        ("unix://", "expected a URL with a host, found one without"),
        ("redis://:geheim@h:99999/0", "expected a URL, found text that is none"),
        ("redis://:geheim@h:0/0", "expected a URL with a host"),
        ("redis://[geheim", "expected a URL, found text that is none"),
    ],
)  # fmt: skip
def test_what_is_no_such_server_is_said_without_its_password(url: str, words: str) -> None:
    found = only(f"shared: {{url: '{url}'}}")

    assert found.startswith(f"shared.url: {words}")
    assert "geheim" not in found


def test_where_nothing_is_stored_nothing_waits() -> None:
    text = 'store: {url: ""}\nledger: {path: %s}'

    assert "ledger.path: expected no path, because there is no store" in only(text % "x")
    assert parse(text % "''", "h.yaml", {}).config.ledger_path == ""
    assert parse(text % "null", "h.yaml", {}).config.ledger_path == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ledger: {size: 1}", "ledger.size: expected 64MiB or more, found 1; each worker writes into segments of 4 MiB; usual is 10GiB"),
        ("ledger: {size: 4MiB}\nserver: {workers: 8}", "ledger.size: expected 64MiB or more, found '4MiB'; each worker writes into segments of 4 MiB; usual is 10GiB"),
        ("ledger: {size: 100MiB}\nserver: {workers: 8}", "ledger.size: expected 128MiB or more for 8 workers, found 100MiB"),
    ],
)  # fmt: skip
def test_a_ledger_has_room_for_its_workers(text: str, words: str) -> None:
    assert only(text) == words


@pytest.mark.parametrize(
    "text",
    ["ledger: {size: 128MiB}\nserver: {workers: 8}", "ledger: {size: 64MiB}", "server: {workers: 999}"],
)  # fmt: skip
def test_one_that_has_is_taken(text: str) -> None:
    parse(text, "h.yaml", {})
