"""What a model name asks the simulator to do: `sim-n20-d5-chunk_fin` is 20 tokens, 5 ms apart, no last chunk.

Words are separated by `-` or `/`; unknown words are ignored, so that every real model name is a valid one.
The whole table is in docs/simulator.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Container


class Steer(Struct, frozen=True, eq=False):
    """How to answer one request. Compared by identity: one text is parsed once."""

    tokens: int = 16
    gap: float = 0.0
    """Seconds between tokens."""
    first: float = 0.0
    """Seconds before the first token."""
    pad: int = 0
    """Bytes of ASCII padding a token."""
    stamp: bool = False
    """Every token begins with the monotonic clock, in nanoseconds, 20 digits."""
    tools: int = 0
    """Tool calls to make when the request offers tools."""
    rounds: int = 1
    """How often tools are called before there is text."""
    think: bool = False
    redact: bool = False
    """Thoughts cannot be read."""
    signed: bool = False
    """Refuse a next turn that does not bring back what the vendor wants back."""
    strict: bool = False
    """Refuse a request that the vendor would refuse."""
    resume: bool = False
    """Go on with an answer of one's own that the conversation holds the beginning of."""
    noprefill: bool = False
    """Refuse a conversation that ends with a turn of the model's."""
    look: bool = False
    """Say how many images and so on there were."""
    cite: bool = False
    refuse: bool = False
    stop: bool = False
    """Stop at the first of the request's stop sequences."""
    length: bool = False
    """Stop because of the token limit."""
    input: int = 12
    """Input tokens to report, the cached ones included."""
    cached: int = 0
    fault: str = ""
    """A key of `faults.FAULTS`, or nothing."""
    size: int = 0
    """MB, for `event10M`."""
    times: int = 0
    """The fault stops after so many requests; 0 is never."""
    after: int = 0
    """Requests answered well before the fault begins."""
    lasts: float = 0.0
    """Seconds from the first request until the fault stops; 0 is never."""
    at: int = -1
    """Tokens before a fault in mid-stream; negative is half."""
    cut: int = -1
    """Body bytes before `rst`; negative is where `at` says."""
    split: int = 0
    """Bytes of body in one TCP write; 0 is as they come."""
    hints: tuple[tuple[str, str], ...] = ()
    """Ways to say when to come back, as (word, value)."""


def _seconds(digits: str) -> float:
    return float(digits) / 1000


_MOST_TOKENS = 10_000_000

_VALUES: tuple[tuple[re.Pattern[str], str, Callable[[str], Any]], ...] = (
    (re.compile(r"n(\d{1,8})"), "tokens", lambda digits: min(int(digits), _MOST_TOKENS)),
    (re.compile(r"d(\d{1,9}(?:\.\d+)?)"), "gap", _seconds),
    (re.compile(r"f(\d{1,9}(?:\.\d+)?)"), "first", _seconds),
    (re.compile(r"s(\d{1,6})"), "pad", int),
    (re.compile(r"in(\d{1,9})"), "input", int),
    (re.compile(r"cached(\d{1,9})"), "cached", int),
    (re.compile(r"at(\d{1,8})"), "at", int),
    (re.compile(r"k(\d{1,9})"), "cut", int),
    (re.compile(r"split(\d{1,9})"), "split", int),
    (re.compile(r"rounds(\d{1,4})"), "rounds", int),
    (re.compile(r"for(\d{1,6}(?:\.\d+)?)"), "lasts", float),
)

_FLAGS: dict[str, tuple[str, Any]] = {
    "t": ("stamp", True),
    "tool": ("tools", 1),
    "tool2": ("tools", 2),
    "think": ("think", True),
    "redact": ("redact", True),
    "signed": ("signed", True),
    "strict": ("strict", True),
    "resume": ("resume", True),
    "noprefill": ("noprefill", True),
    "look": ("look", True),
    "cite": ("cite", True),
    "refuse": ("refuse", True),
    "stop": ("stop", True),
    "length": ("length", True),
}

# The longest word first: `rams300` is not `ra` with the value `ms300`.
_HINTS = ("rareset", "radate", "raskew", "rainfo", "ratwo", "rams", "ra")

_FAULT = re.compile(r"(?:after(\d+)_)?(.+?)(?:x(\d+))?")
_SIZED = re.compile(r"(event)(\d{1,3})M")


def parse(text: str, faults: Container[str]) -> Steer:
    """Read a steering text; `faults` are the fault words that exist."""
    found: dict[str, Any] = {}
    hints: list[tuple[str, str]] = []
    for word in _words(text):
        if word in _FLAGS:
            name, value = _FLAGS[word]
            found[name] = value
        elif not (_value(word, found) or _fault(word, faults, found)):
            hints += _hint(word)
    return Steer(**found, hints=tuple(hints))


def _words(text: str) -> list[str]:
    """Split, and give a minus sign back to the hint it belongs to: `ra-5` is one word."""
    words: list[str] = []
    for word in re.split(r"[-/]", text):
        if words and words[-1] in _HINTS and words[-1] != "ratwo":
            words[-1] += "-" + word
        else:
            words.append(word)
    return words


def _value(word: str, found: dict[str, Any]) -> bool:
    for pattern, name, convert in _VALUES:
        if match := pattern.fullmatch(word):
            found[name] = convert(match[1])
            return True
    return False


def _fault(word: str, faults: Container[str], found: dict[str, Any]) -> bool:
    match = _FAULT.fullmatch(word)
    if match is None:
        return False
    after, name, times = match.groups()
    if sized := _SIZED.fullmatch(name):
        name = sized[1]
        found["size"] = int(sized[2])
    if name not in faults:
        return False
    found["fault"] = name
    found["after"] = int(after or 0)
    found["times"] = int(times or 0)
    return True


def _hint(word: str) -> list[tuple[str, str]]:
    for name in _HINTS:
        if word.startswith(name):
            return [(name, word[len(name) :])]
    return []
