"""Windows of budgets and quotas: against calendars known by heart, and against a clock that is watched minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.core import periods
from proxy.core.model import Budget, Quota
from proxy.core.periods import Window, check_budget_cron, check_cron, of_budget, of_quota

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]
"""Leaps of half an hour, of two hours, over midnight, over a whole day, and backwards in winter; odd offsets."""


def at(text: str, tz: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz), fold=fold).timestamp())


def span(start: str, ends: str, tz: str = "UTC") -> Window:
    return Window(at(start, tz), at(ends, tz))


@pytest.mark.parametrize(
    ("period", "tz", "now", "expected"),
    [
        ("day", "UTC", "2026-05-06 12:30", span("2026-05-06", "2026-05-07")),
        ("day", "UTC", "2026-05-06 00:00", span("2026-05-06", "2026-05-07")),
        ("day", "UTC", "2026-05-06 23:59:59", span("2026-05-06", "2026-05-07")),
        ("week", "UTC", "2026-05-06", span("2026-05-04", "2026-05-11")),
        ("week", "UTC", "2026-05-04", span("2026-05-04", "2026-05-11")),
        ("week", "UTC", "2026-05-03 23:59", span("2026-04-27", "2026-05-04")),
        ("month", "UTC", "2026-02-28 23:59", span("2026-02-01", "2026-03-01")),
        ("month", "UTC", "2028-02-29", span("2028-02-01", "2028-03-01")),
        ("month", "UTC", "2026-12-31 23:59", span("2026-12-01", "2027-01-01")),
        ("total", "UTC", "2026-05-06", Window(0, 0)),
        # A day of 23 hours, one of 25.
        ("day", "Europe/Berlin", "2026-03-29 12:00", span("2026-03-29", "2026-03-30", "Europe/Berlin")),
        ("day", "Europe/Berlin", "2026-10-25 12:00", span("2026-10-25", "2026-10-26", "Europe/Berlin")),
        ("month", "America/New_York", "2026-11-30 23:59", span("2026-11-01", "2026-12-01", "America/New_York")),
        # Clocks leapt over this midnight: the day began at one.
        ("day", "America/Sao_Paulo", "2018-11-04 09:00", span("2018-11-04 01:00", "2018-11-05", "America/Sao_Paulo")),
        # This midnight came twice (the day before had 25 hours): a new day began once.
        ("day", "America/Sao_Paulo", "2018-02-17 12:00", span("2018-02-17", "2018-02-18", "America/Sao_Paulo")),
        # There was no such day there.
        ("day", "Pacific/Apia", "2011-12-29 12:00", span("2011-12-29", "2011-12-31", "Pacific/Apia")),
    ],
)  # fmt: skip
def test_a_budget_is_for_a_period_of_the_calendar_there(
    period: str, tz: str, now: str, expected: Window
) -> None:
    assert of_budget(Budget(usd=1, period=period, tz=tz), at(now, tz)) == expected


def test_days_are_as_long_as_clocks_make_them() -> None:
    def hours(day: str) -> float:
        window = of_budget(
            Budget(usd=1, period="day", tz="Europe/Berlin"), at(day, "Europe/Berlin")
        )
        return (window.ends - window.start) / 3600

    assert [hours(d) for d in ("2026-03-28 12:00", "2026-03-29 12:00", "2026-10-25 12:00")] == [
        24,
        23,
        25,
    ]


@pytest.mark.parametrize(
    ("cron", "now", "expected"),
    [
        ("*/30 * * * *", "2026-05-06 12:31", span("2026-05-06 12:30", "2026-05-06 13:00")),
        ("0 */6 * * *", "2026-05-06 12:31", span("2026-05-06 12:00", "2026-05-06 18:00")),
        ("0 0 * * SUN", "2026-05-06", span("2026-05-03", "2026-05-10")),
        ("0 0 * * 7", "2026-05-06", span("2026-05-03", "2026-05-10")),
        ("0 0 31 * *", "2026-02-10", span("2026-01-31", "2026-03-31")),
        ("0 0 L * *", "2026-02-10", span("2026-01-31", "2026-02-28")),
        ("0 0 29 2 *", "2026-02-10", span("2024-02-29", "2028-02-29")),
        # Both days given: either is enough. 2026-02-13 was a Friday.
        ("0 0 10 * 5", "2026-02-10", span("2026-02-10", "2026-02-13")),
        ("0 0 10 * 5", "2026-02-09", span("2026-02-06", "2026-02-10")),
    ],
)
def test_a_quota_is_for_the_time_between_two_times_of_its_cron(
    cron: str, now: str, expected: Window
) -> None:
    assert of_quota(Quota(cron=cron), at(now)) == expected
    assert of_budget(Budget(usd=1, cron=cron), at(now) + 0.5) == expected


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cron", "now", "expected"),
    [
        # 02:00 to 03:00 is leapt over on 2026-03-29.
        ("30 2 * * *", at("2026-03-29 03:10", BERLIN), span("2026-03-29 03:00", "2026-03-30 02:30", BERLIN)),
        ("30 2 * * *", at("2026-03-29 01:59", BERLIN), span("2026-03-28 02:30", "2026-03-29 03:00", BERLIN)),
        ("*/20 * * * *", at("2026-03-29 01:59", BERLIN), span("2026-03-29 01:40", "2026-03-29 03:00", BERLIN)),
        # 02:00 to 03:00 comes twice on 2026-10-25.
        ("30 2 * * *", at("2026-10-25 02:40", BERLIN), span("2026-10-25 02:30", "2026-10-26 02:30", BERLIN)),
        ("30 2 * * *", at("2026-10-25 02:10", BERLIN, 1), span("2026-10-25 02:30", "2026-10-26 02:30", BERLIN)),
        ("30 2 * * *", at("2026-10-25 02:40", BERLIN, 1), span("2026-10-25 02:30", "2026-10-26 02:30", BERLIN)),
        ("0 * * * *", at("2026-10-25 02:10", BERLIN, 1), span("2026-10-25 02:00", "2026-10-25 03:00", BERLIN)),
    ],
)  # fmt: skip
def test_a_time_that_is_leapt_over_comes_at_once_and_one_that_comes_twice_counts_once(
    cron: str, now: int, expected: Window
) -> None:
    assert of_quota(Quota(cron=cron, tz=BERLIN), now) == expected


# --- against a clock that is watched -------------------------------------------------------------------------


@cache
def changes(tz: str, year: int) -> tuple[date, ...]:
    """Days of a year on which clocks were changed there; one day, if there are none."""
    zone = ZoneInfo(tz)
    noon = datetime(year, 1, 1, 12, tzinfo=UTC)
    found = [
        (noon + timedelta(days=day)).date()
        for day in range(365)
        if (noon + timedelta(days=day)).astimezone(zone).utcoffset()
        != (noon + timedelta(days=day - 1)).astimezone(zone).utcoffset()
    ]
    return tuple(found) or (noon.date(),)


def watched(zone: ZoneInfo, begin: int, minutes: int) -> Iterator[tuple[int, list[datetime]]]:
    """Each minute, with the times that its clock shows for the first time, or has just leapt over."""
    reached = datetime.fromtimestamp(begin, zone).replace(tzinfo=None)
    for t in range(begin + 60, begin + 60 * minutes, 60):
        shown = datetime.fromtimestamp(t, zone).replace(tzinfo=None)
        new = []
        while reached < shown:
            reached += timedelta(minutes=1)
            new.append(reached)
        yield t, new


MINUTES = st.lists(st.integers(0, 59), min_size=1, max_size=4)
HOURS = st.none() | st.lists(st.integers(0, 23), min_size=1, max_size=3)
WEEKDAYS = st.none() | st.lists(st.integers(0, 6), min_size=4, max_size=6)


@settings(max_examples=40)
@given(st.data())
def test_windows_are_those_of_somebody_who_watches_the_clock(data: st.DataObject) -> None:
    tz = data.draw(st.sampled_from(ZONES))
    day = data.draw(st.sampled_from(changes(tz, data.draw(st.integers(2005, 2037)))))
    minutes = data.draw(MINUTES)
    hours, weekdays = data.draw(HOURS), data.draw(WEEKDAYS)
    cron = " ".join(
        "*" if field is None else ",".join(map(str, field))
        for field in (minutes, hours, None, None, weekdays)
    )
    begin = at(f"{day - timedelta(days=3)}")
    fires = [
        t
        for t, new in watched(ZoneInfo(tz), begin, 6 * 1440)
        if any(
            w.minute in minutes
            and (hours is None or w.hour in hours)
            and (weekdays is None or w.isoweekday() % 7 in weekdays)
            for w in new
        )
    ]
    assume(len(fires) > 1)
    nows = st.integers(fires[0], fires[-1] - 1)
    for now in data.draw(st.lists(nows | st.sampled_from(fires[:-1]), min_size=1, max_size=8)):
        found = of_quota(Quota(cron=cron, tz=tz), now)

        assert found.start == max(t for t in fires if t <= now)
        assert found.ends == min(t for t in fires if t > now)


@settings(max_examples=100)
@given(
    days=st.lists(st.integers(1, 31), min_size=1, max_size=3),
    weekdays=st.lists(st.integers(0, 6), min_size=1, max_size=2),
    months=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    now=st.integers(at("1995-01-01"), at("2037-01-01")),
)
def test_either_of_two_days_is_enough(
    days: list[int], weekdays: list[int], months: list[int], now: int
) -> None:
    fields = (",".join(map(str, field)) for field in (days, months, weekdays))
    found = of_quota(Quota(cron="0 0 {} {} {}".format(*fields)), now)

    def matches(day: date) -> bool:
        return day.month in months and (day.day in days or day.isoweekday() % 7 in weekdays)

    day = datetime.fromtimestamp(now, UTC).date()
    before = next(d for d in (day - timedelta(days=n) for n in range(800)) if matches(d))
    after = next(d for d in (day + timedelta(days=n) for n in range(1, 800)) if matches(d))
    assert found == Window(at(str(before)), at(str(after)))


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_each_window_begins_where_the_last_one_ended(period: str, tz: str) -> None:
    budget = Budget(usd=1, period=period, tz=tz)
    window = of_budget(budget, at("2010-01-15"))
    until = at({"day": "2012-02-01", "week": "2020-01-01", "month": "2037-01-01"}[period])
    while window.ends < until:
        assert window.start < window.ends
        assert of_budget(budget, window.ends - 0.001) is window
        begin = datetime.fromtimestamp(window.ends, ZoneInfo(tz))
        # Where clocks leap over midnight the day begins later.
        before = datetime.fromtimestamp(window.ends - 60, ZoneInfo(tz))
        assert before.date() < begin.date()
        assert period != "week" or begin.weekday() == 0
        assert period != "month" or begin.day == 1
        following = of_budget(budget, window.ends)
        assert following.start == window.ends
        window = following


# --- what is remembered ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(at("2026-03-27"), at("2026-03-31")), min_size=2, max_size=20))
def test_a_window_does_not_depend_on_what_was_asked_before(nows: list[int]) -> None:
    quota = Quota(cron="0 */5 * * *", tz=BERLIN)

    asked = [of_quota(quota, now) for now in nows]

    periods._current.clear()
    periods._earlier.clear()
    assert asked[::-1] == [of_quota(quota, now) for now in reversed(nows)]


def test_a_clock_that_steps_back_over_midnight_finds_the_day_it_was_in() -> None:
    budget = Budget(usd=1, period="day")
    midnight = at("2026-05-06")
    evening, morning = of_budget(budget, midnight - 1), of_budget(budget, midnight)

    assert evening.ends == morning.start == midnight
    assert of_budget(budget, midnight - 0.5) is evening
    assert of_budget(budget, midnight) is morning
    assert of_budget(budget, midnight + 7200) is morning


def test_what_is_remembered_is_bounded() -> None:
    for minute in range(60):
        for hour in range(24):
            for month in (1, 6, 12):
                of_quota(Quota(cron=f"{minute} {hour} * {month} *"), at("2026-05-06"))

    assert 0 < len(periods._current) <= periods._MOST


# --- checking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "tz", "said"),
    [
        ("0 0 31 2 *", "UTC", "'0 0 31 2 *' never happens: no such month has a day 31"),
        ("0 0 31 4,6,9,11 *", "UTC", "never happens"),
        ("0 0 */30 2 MON#5", "UTC", "'0 0 */30 2 MON#5' never happens"),
        ("0 0 * *", "UTC", "expected five fields (minute, hour, day of month, month and day of week)"),
        ("0 0 0 * * *", "UTC", "found 6"),
        ("@daily", "UTC", "found 1"),
        ("", "UTC", "found 0"),
        ("9" * 5000 + " 0 * * *", "UTC", "expected at most 256 characters, found 5008"),
        ("60 * * * *", "UTC", "expected 0 to 59 as the minute, or '*', lists, ranges and steps; found '60'"),
        ("0 24 * * *", "UTC", "expected 0 to 23 as the hour"),
        ("0 0 32 * *", "UTC", "expected 1 to 31, L or LW as the day of month"),
        ("0 0 * 13 *", "UTC", "expected 1 to 12 or JAN to DEC as the month"),
        ("0 0 * * 8", "UTC", "expected 0 to 7 (0 and 7 are Sunday) or SUN to SAT as the day of week"),
        ("*/0 * * * *", "UTC", "found '*/0'"),
        ("9-5 * * * *", "UTC", "found '9-5'"),
        ("0 0 * * *", "Europe/Berln", "expected the name of a time zone"),
        ("0 0 * * *", "", "expected the name of a time zone"),
        ("0 0 * * *", "Europe", "expected the name of a time zone"),
        ("0 0 * * *", "../../etc/passwd", "expected the name of a time zone"),
        ("0 0 * * *", "/etc/localtime", "expected the name of a time zone"),
        ("0 0 * * *", "a\0b", "expected the name of a time zone"),
        ("0 0 * * *", "\ud800", "expected the name of a time zone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_cron_expression_is_said(cron: str, tz: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are below
        check_cron(cron, tz)

    assert said in str(caught.value)


@pytest.mark.parametrize("cron", ["0 0 * * *", "*/15 * * * *", "45,15 3 1 JAN mon", "0 0 29 2 *"])
def test_a_good_expression_is_let_pass(cron: str) -> None:
    check_cron(cron, "Asia/Kathmandu")
    check_budget_cron(cron, "Asia/Kathmandu")


@pytest.mark.parametrize(("cron", "minute"), [("*/10 * * * *", 10), ("5 0 * * *", 5), ("* * * * *", 1)])  # fmt: skip
def test_a_budget_begins_on_a_quarter_of_an_hour(cron: str, minute: int) -> None:
    check_cron(cron, "UTC")
    with pytest.raises(ValueError, match=f"quarter of an hour .* not at minute {minute}$"):
        check_budget_cron(cron, "UTC")


@given(
    st.lists(
        st.text(alphabet="0123456789*/-,#LW?SUNMOFEB ²\n", max_size=5), min_size=5, max_size=5
    ).map(" ".join)
    | st.text(max_size=30)
    | st.just("9" * 5000 + " 0 * * *"),
)
def test_an_expression_is_refused_or_has_windows(cron: str) -> None:
    try:
        check_cron(cron, "Europe/Berlin")
    except ValueError:
        return
    now = at("2026-05-06 12:34:56")
    window = of_quota(Quota(cron=cron, tz="Europe/Berlin"), now)
    assert window.start <= now < window.ends
