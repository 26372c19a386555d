"""The words of limits."""

from __future__ import annotations

import msgspec

from proxy.core.model import Limits
from proxy.ledger.records import Charged
from proxy.limits.accounts import Charge, Refused, Short
from proxy.limits.subjects import subject


def test_a_charge_is_what_the_ledger_writes() -> None:
    charge = Charge("key:7", 100, 200)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(charge), type=Charged) == Charged(
        "key:7", 100, 200
    )


def test_refusals_say_of_whom_and_why() -> None:
    one = subject("key", "a", "a", Limits(rpm=1))
    assert one is not None

    refused, short = Refused(one, "rpm", 2.0), Short(one, "budget", 5)

    assert (str(refused), refused.subject, refused.wait, refused.standing) == (
        "rpm",
        one,
        2.0,
        None,
    )
    assert (str(short), short.subject, short.amount, short.wait) == ("budget", one, 5, 0.0)
