from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config import schema, values
from proxy.core.model import Auth, Strategy


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (5, 5.0),
        (0, 0.0),
        (0.25, 0.25),
        ("5", 5.0),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("2s", 2.0),
        ("2 s", 2.0),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("7d", 604800.0),
    ],
)
def test_durations_are_seconds(written: object, expected: float) -> None:
    assert values.seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize(
    "written",
    [
        -1,
        True,
        None,
        "",
        "abc",
        "5 minutes",
        "1h30m",
        "-5s",
        "1e3",
        "5M",
        "\u0665s",
        [5],
        float("nan"),
        float("inf"),
        1e13,
    ],
)
def test_other_things_are_no_duration(written: object) -> None:
    with pytest.raises(values.Unfit):
        values.seconds(written)


def test_a_limit_is_above_zero() -> None:
    assert values.limit("1ms") == 0.001
    with pytest.raises(values.Unfit):
        values.limit(0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("1024B", 1024),
        ("32MiB", 32 * 1024 * 1024),
        ("32 mib", 32 * 1024 * 1024),
        ("10MB", 10_000_000),
        ("1GiB", 1024**3),
        ("64KiB", 65536),
        ("64kb", 64000),
    ],
)
def test_sizes_are_bytes(written: object, expected: int) -> None:
    assert values.size(written) == expected


def test_a_ledger_has_room_to_work_in() -> None:
    assert values.spool_size("64MiB") == values.SPOOL
    with pytest.raises(values.Unfit, match="64MiB or more"):
        values.spool_size("64MB")
    with pytest.raises(values.Unfit, match="a size"):
        values.spool_size("much")


@pytest.mark.parametrize("written", [0, -1, True, 1.5, "", "32M", "1TiB", "MiB", "-1KiB", 2**60])
def test_other_things_are_no_size(written: object) -> None:
    with pytest.raises(values.Unfit):
        values.size(written)


@pytest.mark.parametrize(
    "written",
    ["round_robin", "Round Robin", "ROUND-ROBIN", "roundrobin", " round  robin ", "Round_Robin"],
)
def test_case_space_and_hyphen_do_not_matter_in_a_strategy(written: str) -> None:
    assert values.strategy(written) is Strategy.ROUND_ROBIN


@pytest.mark.parametrize(
    ("written", "strategy"),
    [
        ("Performance Based", Strategy.PERFORMANCE),
        ("cost-optimized", Strategy.COST),
        ("cost_optimised", Strategy.COST),
        ("Pareto Optimal", Strategy.PARETO),
    ],
)
def test_names_of_other_programs_are_known(written: str, strategy: Strategy) -> None:
    assert values.strategy(written) is strategy


def test_every_strategy_is_known() -> None:
    assert [values.strategy(str(name)) for name in Strategy] == list(Strategy)


@pytest.mark.parametrize("written", ["fastest", "", None, 3])
def test_other_words_are_no_strategy(written: object) -> None:
    with pytest.raises(values.Unfit) as caught:
        values.strategy(written)

    assert "p2c" in caught.value.advice


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("bearer", Auth("bearer")),
        ("none", Auth("none")),
        ("header:X-Api-Key", Auth("header", "x-api-key")),
        ("header: api-key", Auth("header", "api-key")),
        ("query:key", Auth("query", "key")),
        ("sigv4:us-east-1", Auth("sigv4", "us-east-1")),
        ("sigv4: eu-west-3/aoss", Auth("sigv4", "eu-west-3/aoss")),
        ("google", Auth("google")),
        ("google:https://a.example/scope", Auth("google", "https://a.example/scope")),
        ("entra", Auth("entra")),
        ("entra:api://ours/.default", Auth("entra", "api://ours/.default")),
    ],
)
def test_the_place_of_a_credential(written: str, expected: Auth) -> None:
    assert values.auth(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "Basic",
        "header",
        "header:",
        "header:a b",
        "header:a\nb",
        "sigv4",
        "sigv4:",
        "sigv4:a b",
        "sigv4:a/b/c",
        "bearer:x",
        "google:",
        "entra:a b",
        1,
    ],
)
def test_other_words_are_no_place(written: object) -> None:
    with pytest.raises(values.Unfit):
        values.auth(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1_800_000_000, 1_800_000_000.0),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01 00:00:30", 30.0),
        # As a variable has it.
        (" 1893456000 ", 1893456000.0),
        ("1893456000.5", 1893456000.5),
        ("19700102", 86400.0),
    ],
)
def test_dates_are_unix_seconds_in_utc(written: object, expected: float) -> None:
    assert values.moment(written) == expected


@pytest.mark.parametrize(
    "written",
    ["tomorrow", "", "2027", "1e9", "000000000", "31.1.2027", "2027-02-30", True, -5, None, 1e20],
)
def test_other_things_are_no_date(written: object) -> None:
    with pytest.raises(values.Unfit):
        values.moment(written)


def test_workers_are_counted_or_one_a_processor() -> None:
    assert values.workers(3) == 3
    assert values.workers("4") == 4
    assert values.workers("auto") == values.workers(" AUTO ") == values.processors()
    for written in (0, -1, True, 1.5, "many", "0", 5000, None):
        with pytest.raises(values.Unfit):
            values.workers(written)


def test_a_share_of_the_processors_counts_rounded_up(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"

    quota.write_text("50000 100000\n")
    assert values.processors(tmp_path, tmp_path) == 1
    quota.write_text("max 100000\n")
    unlimited = values.processors(tmp_path, tmp_path)
    assert values.processors(tmp_path, tmp_path / "missing") == unlimited >= 1
    quota.write_text("not a number")
    assert values.processors(tmp_path, tmp_path) == unlimited


@pytest.mark.parametrize("limited", ["", "system.slice", "system.slice/headrace.service"])
def test_the_share_of_a_service_counts_and_that_of_what_is_around_it(
    tmp_path: Path, limited: str
) -> None:
    own = tmp_path / "system.slice" / "headrace.service"
    own.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/system.slice/headrace.service\n")
    for folder in (own, own.parent, tmp_path):
        (folder / "cpu.max").write_text("max 100000\n")

    (tmp_path / limited / "cpu.max").write_text("100000 100000\n")

    assert values.processors(tmp_path, tmp_path) == 1


@given(st.text(max_size=20))
def test_refusals_never_repeat_the_value(text: str) -> None:
    marked = f"marker{text}"
    for read in (
        values.seconds,
        values.size,
        values.strategy,
        values.auth,
        values.moment,
        values.workers,
    ):
        with pytest.raises(values.Unfit) as caught:
            read(marked)
        assert "marker" not in f"{caught.value} {caught.value.advice}"


# --- networks ---


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.1.2.3/8 ", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    ],
)
def test_networks(written: str, expected: str) -> None:
    assert str(values.network(written)) == expected


@pytest.mark.parametrize(
    "written", ["", "x", "10.0.0.0/33", "10.0.0", 167772160, None, True, b"1234"]
)
def test_other_things_are_no_network(written: object) -> None:
    with pytest.raises(values.Unfit) as caught:
        values.network(written)

    assert caught.value.expected == "a network"


@pytest.mark.parametrize(("written", "seconds"), [("p95", 0.0), (" P95 ", 0.0), ("2s", 2.0)])
def test_when_a_second_attempt_is_begun(written: str, seconds: float) -> None:
    assert schema.Hedge(after=written).after == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize("written", [0, -1, "p99", True])
def test_and_when_not(written: object) -> None:
    with pytest.raises(ValueError, match="p95"):
        schema.Hedge(after=written)  # type: ignore[arg-type]
