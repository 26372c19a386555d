"""What a hook may say."""

from __future__ import annotations

import pytest

from proxy.hooks import Point, Refuse, points


def test_a_point_is_called_as_its_method() -> None:
    protocols = (
        points.BeforeRoute,
        points.BeforeAttempt,
        points.AfterResponse,
        points.Screen,
        points.OnEnd,
    )

    assert [point.value for point in Point] == [
        name for one in protocols for name in vars(one) if name in {point.value for point in Point}
    ]


@pytest.mark.parametrize("status", [200, 399, 500, 0])
def test_a_refusal_is_the_clients_to_mend(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 499"):
        Refuse("no", status=status)
    assert Refuse("no", status=451).status == 451
