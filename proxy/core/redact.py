"""Takes secrets out of text before it is written anywhere.

Two nets. What we know is searched for literally: every secret of the configuration is `register`ed when it is read.
What we do not know, a client's key in a message say, is found by its looks: the prefixes vendors give their keys,
tokens that announce themselves (`Bearer`, `x-api-key:`, `?key=`, passwords in URLs), JSON Web Tokens, private keys.

Better one mask too many than one too few: a masked word costs a moment, a written key costs an incident.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import orjson

from proxy.core.clock import monotonic
from proxy.core.secret import Secret

MASK = "***"
SHORTEST = 6
"""Shorter secrets are not searched for: masking every `x` would leave no log to read."""

# Every pattern is linear: it starts at fixed words, its repeats cannot overlap, and what it began to read it masks.
# A client may send us 60 KB of `api_key="api_key="...`, and some thread has to read it.

_NAMES = (
    r"(?:api[-_]?keys?|token|secret(?:[-_]?access)?(?:[-_]?keys?)?|passw(?:or)?d|passphrase"
    r"|private[-_]?key|authorization|signature)"
)
_NAME = re.compile(rf"(?i){_NAMES}\Z")
# Of a header or parameter that is sent: these hold secrets, whatever they look like.
_TELLING = re.compile(
    r"(?i)auth|key|token|secret|passw|pwd|cookie|credential|session|signature|\b(?:sig|code)\b"
)
# `7f3a9c0de1b24680`: no word, no version, no date.
_RANDOM = re.compile(r"(?i)(?<![a-z\d])(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{16}")
# `"api_key": "`, `\"api_key\": \"`, `api_key='`, `(b'x-api-key', b'`: a name, a sign, an opening quote.
_QUOTED = (
    rf"(?i)({_NAMES}\\{{0,3}}[\"']?\s{{0,4}}(?:[:=]|(?<=[\"']),)\s{{0,4}})"
    r"([bru]?(\\{0,3}[\"']))"
)
# `x-api-key: `, `password=`: what follows a quoted name without quotes is a number or null.
_BARE = rf"(?i)({_NAMES}\s{{0,4}}[:=]\s{{0,4}})"
_SCHEME = r"(?:bearer|basic|token)(?:\s|%20|\+){1,4}"


class Look(NamedTuple):
    """One kind of secret. The pattern only runs on a text that holds one of the words, in lower case."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    mask: str


_NAME_WORDS = ("key", "token", "secret", "passw", "passphrase", "authorization", "signature")

_LOOKS: tuple[Look, ...] = (
    Look(
        ("-----begin",),
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----)[\s\S])*(?:-----END [A-Z ]*-----)?"
        ),
        f"-----PRIVATE KEY {MASK}-----",
    ),
    # postgresql://user:password@host, https://token@host
    Look(("://",), re.compile(r"(?<=://)[^\s/?#\"'\\]*@"), f"{MASK}@"),
    Look(
        ("cookie",),
        re.compile(r"(?i)(cookie[\"']?\s{0,4}[:=,]\s{0,4}[bru]?[\"']?)[^\n\"'\\]+"),
        rf"\1{MASK}",
    ),
    # A value in quotes ends at the same quote; inside, a backslash takes the next character along.
    Look(
        _NAME_WORDS,
        re.compile(_QUOTED + r"(?:(?!\3)(?:\\.|[^\n]))*"),
        rf"\1\2{MASK}",
    ),
    Look(
        _NAME_WORDS,
        re.compile(_BARE + rf"(?:{_SCHEME})*" + r"[^\s\"',;&})\]\\]+"),
        rf"\1{MASK}",
    ),
    Look(
        ("=",),
        re.compile(
            r"(?i)((?:(?<![\w-])(?:key|sig|auth|pwd)|[?&;](?:code|x-amz-[\w-]+))=)[^&\s\"'#<>\\]+"
        ),
        rf"\1{MASK}",
    ),
    Look(
        ("bearer", "basic"),
        re.compile(r"(?i)\b((?:(?:bearer|basic)(?:\s|%20|\+){1,4})+)[^\s\"',;\\]{4,}"),
        rf"\1{MASK}",
    ),
    # Our own keys are theirs alone to begin so, whatever stands before them: `\\nsk-hr-…`, `%20sk-hr-…`.
    Look(("sk-hr",), re.compile(r"sk-hra?-[0-9A-Za-z]{6,}(?:-[0-9A-Za-z]*)?"), MASK),
    # What vendors put in front. No letter or digit may stand before it, so that `task-force-one` keeps its tail.
    Look(
        ("-", "_", "akia", "asia", "aiza", "ya29", "eyj"),
        re.compile(
            r"(?<![A-Za-z0-9])(?:"
            r"(?:sk|pk|rk|sess|csk|xai|pplx|nvapi|tvly|glpat)[-_][\w-]{8,}"
            r"|(?:gsk|hf|r8|fw|ghp|gho|ghs|ghu|ghr|github_pat|npm)_\w{8,}"
            r"|xox[a-z]-[\w-]{8,}"
            r"|AIza[\w-]{16,}|ya29\.[\w.-]{8,}|GOCSPX-[\w-]{8,}"
            r"|(?:AKIA|ASIA)[A-Z0-9]{12,}"
            r"|eyJ[\w-]{16,}(?:\.[\w-]*)*|eyJ[\w-]{4,15}\.[\w-]{8,}[\w.-]*"
            r")"
        ),
        MASK,
    ),
)

_forms: set[str] = set()
_passing: dict[str, float] = {}
"""Secrets that do not last, and until when (monotonic) they are ones."""
_changes = 0
"""How often something was registered or forgotten. Raised after that has been done: one thread registers, another one reads."""
_needles: tuple[int, tuple[str, ...]] = (0, ())
"""As of which of the changes, and the forms of all, the longest first: a secret may hold another one."""


remembering: list[Callable[[], None]] = []
"""Called when secrets have changed: by whoever remembers what `redact` made of a text."""


def register(secret: str | Secret, life: float | None = None) -> None:
    """From now on this secret is masked wherever it turns up, also quoted for a URL or in JSON.

    `life`: for so many seconds only; it is forgotten when another one with a life is registered after them.
    """
    global _changes
    secret = (secret if isinstance(secret, str) else secret.reveal()).strip()
    if len(secret) < SHORTEST or secret in _forms:
        return
    if life is None:
        _forms.update(_forms_of(secret))
    else:
        at = monotonic()
        for old in [one for one, end in _passing.items() if end <= at]:
            del _passing[old]
        _passing[secret] = max(at + life, _passing.get(secret, 0.0))
    _changes += 1
    for clear in remembering:
        clear()


def register_sent(fields: Mapping[str, str]) -> None:
    """The same for headers or parameters that are sent: those that hold a secret by their name or by their looks.

    `application/json`, a version or a title would be masked wherever somebody speaks of them.
    """
    for name, value in fields.items():
        if _TELLING.search(name) or _RANDOM.search(value):
            register_all_of(value)


def register_all_of(value: str) -> None:
    """The same for a value that may have `Bearer`, or any other scheme, before its secret."""
    register(value)
    register(value.partition(" ")[2])


def forget() -> None:
    """Drop all registered secrets. For tests."""
    global _changes
    _forms.clear()
    _passing.clear()
    _changes += 1
    for clear in remembering:
        clear()


def redact(text: str) -> str:
    """`text` without anything that is, or looks like, a secret."""
    for needle in _sorted():
        if needle in text:
            text = text.replace(needle, MASK)
    lower = text.lower()
    for words, pattern, mask in _LOOKS:
        for word in words:
            if word in lower:
                text = pattern.sub(mask, text)
                break
    return text


def _sorted() -> tuple[str, ...]:
    global _needles
    changes = _changes
    known, needles = _needles
    if known != changes:
        forms = _forms.union(*map(_forms_of, list(_passing)))
        needles = tuple(sorted(forms, key=len, reverse=True))
        _needles = changes, needles
    return needles


def _forms_of(secret: str) -> set[str]:
    """As it is, in a URL and in JSON."""
    return {secret, quote(secret, safe=""), quote_plus(secret), _json(secret)}


def redact_name(text: str) -> str:
    """The same, remembered: for short texts that come again and again, such as a model's name."""
    return _named(text, _changes)


@lru_cache(maxsize=2048)
def _named(text: str, changes: int) -> str:
    # The number is for the cache: what was harmless before a change need not be so after it.
    return redact(text)


remembering.append(_named.cache_clear)


def redact_bytes(body: bytes) -> bytes:
    """The same for a body on its way to a client: what was JSON stays JSON, what is clean stays as it is."""
    text = body.decode("utf-8", "surrogateescape")
    masked = redact(text)
    if masked == text and "\\u" not in text and "\\/" not in text:
        return body
    # Some write `/`, `=`, `+` or `&` as escapes, and nobody finds a key there that has one of them.
    try:
        said = orjson.loads(body)
        clean = _masked(said)
        return body if masked == text and clean == said else orjson.dumps(clean)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # nested beyond what can be read or written again
        return body if masked == text else masked.encode("utf-8", "surrogateescape")


def _masked(value: Any, name: str = "") -> Any:
    """A JSON value with its strings masked; below a telling name any string is."""
    if isinstance(value, str):
        return MASK if _NAME.search(name) else redact(value)
    if isinstance(value, dict):
        return {redact(key): _masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name) for item in value]
    return value


def _json(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
