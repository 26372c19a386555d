"""What the list that is installed says of a model, as we have it.

No figure of the list is written down here: the next one has others.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Price
from proxy.core.prices import cost
from proxy.dialects.ir import Usage
from proxy.state import price_reading

NOW = 1_795_000_000.0
"""2026-11-18, in the afternoon."""


def micro(dollars: Decimal) -> int:
    return int((dollars * 1_000_000).to_integral_value(ROUND_HALF_UP))


def plain(info: ModelInfo) -> bool:
    """Whether it is sold by nothing but tokens, which we count too, at any time of the day."""
    listed = (
        [info.prices] if isinstance(info.prices, ModelPrice) else [c.prices for c in info.prices]
    )
    times = [] if isinstance(info.prices, ModelPrice) else [c.constraint for c in info.prices]
    counted = {*price_reading.RATES.values(), "web_searches_kcount", "storage_searches_kcount"}
    keys = {key for one in listed for key, value in vars(one).items() if value is not None}
    timed = any(isinstance(constraint, TimeOfDateConstraint) for constraint in times)
    return keys <= counted and bool(keys) and not timed and "image" not in info.id  # fmt: skip


MODELS = [(s, m) for s in providers for m in s.models if plain(m)]
TOKENS = st.integers(0, 5000) | st.integers(0, 2_000_000)


@given(st.sampled_from(MODELS), *[TOKENS] * 4, st.floats(0, 1), st.floats(0, 1))
def test_every_model_that_is_sold_by_tokens_costs_what_the_list_makes_of_it(
    which: tuple[Any, ModelInfo], uncached: int, read: int, written: int, output: int,
    of_hour: float, of_thoughts: float,
) -> None:  # fmt: skip
    seller, info = which
    hour, thoughts = int(written * of_hour), int(output * of_thoughts)
    theirs = TheirUsage(
        input_tokens=uncached + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        output_reasoning_tokens=thoughts,
        input_audio_tokens=0,
        output_audio_tokens=0,
    )
    at = datetime.fromtimestamp(NOW, UTC)
    expected = info.calc_price(theirs, seller, genai_request_timestamp=at).total_price

    price = price_reading.listed(info).on(int(NOW) // 86400)

    used = Usage(uncached, read, written, output, thoughts, cache_write_1h=hour)
    assert cost(price, used) == micro(expected)


def test_no_price_that_is_listed_is_lost() -> None:
    assert len(MODELS) > 1000
    assert None not in [price_reading.listed(info).on(int(NOW) // 86400) for _, info in MODELS]


# --- compiling ---------------------------------------------------------------------------------------------------


def info(listed: Any, id: str = "m", **more: Any) -> ModelInfo:
    return ModelInfo(id=id, match=ClauseEquals(id), prices=listed, **more)


def dollars(**rates: float | str) -> ModelPrice:
    return ModelPrice(**{key: Decimal(str(rate)) for key, rate in rates.items()})


DAY = int(NOW) // 86400


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (dollars(input_mtok=3, output_mtok=15), Price(input=3, output=15)),
        (
            dollars(input_mtok=3, cache_read_mtok=0.3, cache_write_mtok=3.75, cache_write_1h_mtok=6),
            Price(input=3, cached=0.3, cache_write=3.75, cache_write_1h=6),
        ),
        (
            dollars(output_reasoning_mtok=3, input_audio_mtok=32, output_audio_mtok=64),
            Price(reasoning=3, audio_input=32, audio_output=64),
        ),
        (dollars(audio_hours=0.36, input_audio_hours=0.36), Price(second=100)),
        (dollars(input_mtok=1, requests_kcount=12), Price(input=1, request=12_000)),
        (dollars(input_mtok=1, web_searches_kcount=10), Price(input=1)),
        (dollars(input_mtok=0, output_mtok=0), Price()),
        # Pictures are dearer than words, and nobody tells them apart.
        (dollars(input_mtok=1, output_mtok=2, output_image_mtok=30), Price(input=1, output=30)),
        (dollars(input_mtok=1, input_image_mtok=5, output_video_mtok=9), Price(input=5, output=9)),
        (dollars(input_mtok=4, input_image_mtok=5, output_mtok=16), Price(input=4, output=16)),
        (dollars(input_mchars=15), Price(character=15.0)),
        # Sold by what we do not count, or by nothing at all.
        (dollars(input_mtok=1, input_document_kpages=4), None),
        (dollars(web_searches_kcount=10), None),
        (dollars(), None),
    ],
)  # fmt: skip
def test_what_is_listed_becomes_a_price(listed: ModelPrice, expected: Price | None) -> None:
    assert price_reading.listed(info(listed)).on(DAY) == expected


def test_a_model_of_images_is_known_by_its_name_too() -> None:
    listed = dollars(input_mtok=5, input_image_mtok=10, cache_read_mtok=1, cache_image_read_mtok=2)

    assert price_reading.listed(info(listed, "gpt-image-9")).on(DAY) == Price(input=10, cached=2)


@pytest.mark.parametrize(
    "said",
    [
        {"id": "gemma:free"},
        {"name": "Gemma (free)"},
        {"description": "All of it is free of charge"},
        {"price_comments": "Included in the subscription"},
    ],
)
def test_no_rates_are_nothing_only_where_the_list_says_so(said: dict[str, str]) -> None:
    assert price_reading.listed(info(dollars(), **said)).on(DAY) == Price()
    assert price_reading.listed(info(dollars(), description="carefree")).on(DAY) is None


def test_tiers_of_each_part_are_laid_over_each_other() -> None:
    def tiered(base: int, **tiers: int) -> TieredPrices:
        return TieredPrices(
            Decimal(base), [Tier(int(start[1:]), Decimal(p)) for start, p in tiers.items()]
        )

    listed = ModelPrice(
        input_mtok=tiered(1, _100=2, _300=3), output_mtok=tiered(5, _200=6), cache_read_mtok=Decimal(1)
    )  # fmt: skip

    assert price_reading.listed(info(listed)).on(DAY) == Price(
        input=1,
        cached=1,
        output=5,
        above=(
            (100, Price(input=2, cached=1, output=5)),
            (200, Price(input=2, cached=1, output=6)),
            (300, Price(input=3, cached=1, output=6)),
        ),
    )


def test_a_price_holds_from_its_day_on() -> None:
    start = datetime(2026, 11, 18, tzinfo=UTC).date()
    listed = [
        ConditionalPrice(prices=dollars(input_mtok=1)),
        ConditionalPrice(StartDateConstraint(start), prices=dollars(input_mtok=2)),
    ]

    found = [price_reading.listed(info(listed)).on(day) for day in (DAY - 1, DAY, DAY + 1)]

    assert found == [Price(input=1), Price(input=2), Price(input=2)]


def test_where_the_hour_decides_the_dearest_counts() -> None:
    listed = [
        ConditionalPrice(prices=dollars(input_mtok=1, output_mtok=9)),
        ConditionalPrice(
            TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC)),
            prices=dollars(input_mtok=3, output_mtok=4),
        ),
        ConditionalPrice(
            TimeOfDateConstraint(time(6), time(10)), prices=dollars(input_mtok=2, output_mtok=10)
        ),
    ]

    found = price_reading.listed(info(listed)).on(DAY)

    assert found is not None
    assert (found.input, found.output) == (3, 10)


# --- names -------------------------------------------------------------------------------------------------------

WORDS = st.text("abAB-1.", max_size=4)
CLAUSES = st.recursive(
    st.builds(ClauseEquals, WORDS)
    | st.builds(ClauseStartsWith, WORDS)
    | st.builds(ClauseEndsWith, WORDS)
    | st.builds(ClauseContains, WORDS)
    | st.builds(ClauseRegex, st.sampled_from(["^a", "b$", "a.b", "[ab]1?$"])),
    lambda parts: (
        st.builds(ClauseOr, st.lists(parts, max_size=3))
        | st.builds(ClauseAnd, st.lists(parts, max_size=3))
    ),
    max_leaves=5,
)


@given(CLAUSES, st.text("ab-1.", max_size=6))
def test_a_clause_means_the_names_that_it_means_to_the_list(theirs: Any, name: str) -> None:
    assert price_reading.clause(theirs).fits(name) is theirs.is_match(name)
