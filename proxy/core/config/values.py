"""Values people write in a form of their own: durations, sizes, strategies, dates, the place of a credential."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.core import jsonpath, periods
from proxy.core.config.problem import suggestion
from proxy.core.model import Auth, KeyStrategy, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_SCOPE = re.compile(r"[a-z0-9-]{1,40}(?:/[a-z0-9-]{1,40})?")
_UNIX = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
"""Seconds in text: of eight digits is a date."""
_TOKEN_SCOPE = re.compile(r"[!-~]{1,512}")


class Unfit(ValueError):
    """Not such a value. Holds what was expected and what to do, never the value."""

    def __init__(self, expected: str, advice: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.advice = advice


# --- durations and sizes ---

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_SIZE = re.compile(r"([0-9]{1,15}) ?([kmg]i?b|b)?", re.IGNORECASE)
_BYTES = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def seconds(value: object) -> float:
    """Seconds as a number, or text such as `500ms`, `2s`, `5m`, `1.5h`, `7d`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value < 1e12 and math.isfinite(value):
            return float(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2] or "s"]
    raise Unfit("a duration", "write seconds (5) or 500ms, 2s, 5m, 1h, 7d")


def limit(value: object) -> float:
    """A duration that is not zero."""
    time = seconds(value)
    if time <= 0:
        raise Unfit("a duration above 0", "write seconds (5) or 500ms, 2s, 5m, 1h, 7d")
    return time


def size(value: object) -> int:
    """Bytes as a number, or text such as `512KiB`, `32MiB`, `10MB`."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 < value < 2**50:
            return value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        number = int(match[1]) * _BYTES[(match[2] or "b").lower()]
        if 0 < number < 2**50:
            return number
    raise Unfit("a size", "write bytes (1048576) or 512KiB, 32MiB, 10MB")


SPOOL = 64 * 1024**2
SPOOL_PER_WORKER = 16 * 1024**2
"""Bytes that a ledger needs: each worker has two segments of 4 MiB, and as much again while they are read."""


def spool_size(value: object) -> int:
    """A size that a ledger can work in."""
    found = size(value)
    if found < SPOOL:
        raise Unfit("64MiB or more", "each worker writes into segments of 4 MiB; usual is 10GiB")
    return found


# --- calendars ---


def cron(text: str) -> str:
    """A cron expression of five fields that happens at all."""
    _calendar(periods.check_cron, text, "UTC")
    return text


def budget_cron(text: str) -> str:
    """The same, on quarters of an hour."""
    _calendar(periods.check_budget_cron, text, "UTC")
    return text


def zone(text: str) -> str:
    """The name of a time zone."""
    _calendar(periods.check_cron, "0 0 * * *", text)
    return text


def _calendar(check: Callable[[str, str], None], text: str, tz: str) -> None:
    try:
        check(text, tz)
    except ValueError as error:
        said = str(error)
        # What was found is said where all such things are, and not when it may be a secret.
        expected, separator, _ = said.replace("; found ", ", found ").rpartition(", found ")
        if separator and expected.startswith("expected "):
            raise Unfit(expected.removeprefix("expected ")) from None
        raise Unfit("a cron expression that fits", said.replace(repr(text), "it")) from None


# --- words ---


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).casefold()


_STRATEGIES = {
    **{_folded(strategy): strategy for strategy in Strategy},
    # As other programs call them.
    "performancebased": Strategy.PERFORMANCE,
    "costoptimized": Strategy.COST,
    "costoptimised": Strategy.COST,
    "paretooptimal": Strategy.PARETO,
}


def strategy(value: object) -> Strategy:
    """A strategy in any spelling: case, space, `-` and `_` do not matter."""
    word = _folded(value) if isinstance(value, str) else ""
    known = _STRATEGIES.get(word)
    if known is not None:
        return known
    names = ", ".join(Strategy)
    raise Unfit("a strategy", f"choose one of {names}")


def key_strategy(value: object) -> KeyStrategy:
    """The same of credentials."""
    word = _folded(value) if isinstance(value, str) else ""
    for known in KeyStrategy:
        if _folded(known) == word:
            return known
    raise Unfit("a strategy for credentials", f"choose one of {', '.join(KeyStrategy)}")


def auth(value: object) -> Auth:
    """`bearer`, `header:NAME`, `query:NAME`, `sigv4:REGION[/SERVICE]`, `google[:SCOPE]`, `entra[:SCOPE]` or `none`."""
    text = value.strip() if isinstance(value, str) else ""
    scheme, colon, name = text.partition(":")
    if scheme in ("bearer", "none") and not colon:
        return Auth(scheme)
    if scheme in ("header", "query") and HEADER_NAME.fullmatch(name.strip()):
        return Auth(scheme, name.strip().lower() if scheme == "header" else name.strip())
    if scheme == "sigv4" and _SCOPE.fullmatch(name.strip()):
        return Auth(scheme, name.strip())
    if scheme in ("google", "entra") and (not colon or _TOKEN_SCOPE.fullmatch(name.strip())):
        return Auth(scheme, name.strip())
    words = ("bearer", "none", "header:NAME", "query:NAME", "sigv4:REGION", "google", "entra")
    raise Unfit("a place for the credential", suggestion(text, words, "write one of"))


def moment(value: object) -> float:
    """A point in time as Unix seconds: a number (also as a variable has it, in text), or an ISO 8601 date or date and time (UTC unless it says else)."""
    if isinstance(value, str) and _UNIX.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 < value < 1e11:
            return float(value)
    elif isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    raise Unfit("a date", "write 2027-01-31 or 2027-01-31T12:00:00Z")


def network(value: object) -> IPv4Network | IPv6Network:
    """An address or a network such as `10.0.0.0/8`; bits after the mask count as 0."""
    if isinstance(value, str):
        try:
            return ip_network(value.strip(), strict=False)
        except ValueError:
            pass
    raise Unfit("a network", "write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")


def json_path(value: object) -> jsonpath.Path:
    """Where something stands in a JSON value."""
    try:
        return jsonpath.parse(value if isinstance(value, str) else str(value))
    except ValueError:
        raise Unfit(
            "a place in a JSON value", "write data.id, choices[0].text or items[-1]"
        ) from None


# --- the machine ---


def workers(value: object) -> int:
    """A number of processes; `auto` is one for each processor this process may use."""
    if isinstance(value, str) and value.strip().casefold() == "auto":
        return processors()
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024:
        return value
    raise Unfit("a number of workers from 1 to 1024, or auto")


def processors(proc: Path = Path("/proc/self"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors we may use. A share counts, of a container or of a service: two of 64 are two, not 64. The smallest, of our
    own group and those around it (cgroups, version 2)."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        available = os.cpu_count() or 1
    for folder in _groups(proc, mount):
        try:
            share, period = (folder / "cpu.max").read_text("ascii").split()[:2]
            if share != "max":
                available = min(available, math.ceil(int(share) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return max(1, available)


def _groups(proc: Path, mount: Path) -> list[Path]:
    """Our control group, and all above it as far as they are to be seen."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    place = mount / own.lstrip("/")
    return [one for one in (place, *place.parents) if one == mount or mount in one.parents]
