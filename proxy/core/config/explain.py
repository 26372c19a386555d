"""Words for what the schema refuses, without ever repeating a value that may be a secret."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from proxy.core.config.fields import Named, Section
from proxy.core.config.problem import (
    Path,
    Problem,
    Written,
    nearest,
    printable,
    sentence,
    suggestion,
)
from proxy.core.config.schema import Config
from proxy.core.config.values import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


_SECRET_FIELDS = frozenset(
    {
        "credential",
        "credentials",
        "headers",
        "key",
        "password",
        "proxy",
        "query",
        "secrets",
        "token",
        "url",
    }
)
_REFERENCE_ONLY = re.compile(r"\$\{\w+\}|file:.*|secret:[\w-]+/\S+")
_LOOKS_SECRET = re.compile(
    r"(?:sk|pk|rk|gsk|xai|nvapi|AIza)[-_A-Za-z0-9]{8,}|[\w+/=-]{32,}|://[^/]*@"
)

_OTHER_WORDS = {
    "api_base": "base_url",
    "api_key": "credentials",
    "api_keys": "credentials",
    "custom_headers": "headers",
    "database": "store",
    "endpoint": "base_url",
    "key": "credentials",
    "keys": "credentials",
    "max_body_mb": "max_body",
    "model_list": "models",
    "model_name": "model",
    "retries": "retry",
    "targets": "deployments",
    "timeout": "timeouts",
    "url": "base_url",
    "virtual_keys": "keys",
}
"""What other programs call our fields; used where our word is a field."""

_BOUNDS = ("two numbers", "write [least, most]")
_EXPECTED = {
    "int_type": ("a whole number", ""),
    "int_parsing": ("a whole number", ""),
    "int_parsing_size": ("a whole number", ""),
    "int_from_float": ("a whole number", ""),
    "float_type": ("a number", ""),
    "float_parsing": ("a number", ""),
    "finite_number": ("a number", ""),
    "bool_type": ("true or false", ""),
    "bool_parsing": ("true or false", ""),
    "list_type": ("a list", "write [a, b], or one '- item' a line"),
    "dict_type": ("a mapping", "write name: value, one a line"),
    "model_type": ("a mapping", "write name: value, one a line"),
    "missing": _BOUNDS,
    "too_long": _BOUNDS,
    "tuple_type": _BOUNDS,
    "too_short": ("a list that is not empty", ""),
}

_PATTERNS = {
    "endpoint": (
        "a URL such as http://127.0.0.1:4318",
        "what a collector wants to see goes into headers",
    ),
    "name": (
        "a name of at most 64 letters, digits, '.', '-' and '_', with a letter or digit first",
        "",
    ),
    "proxy": ("a URL such as http://proxy.example:3128", ""),
}
"""What is wanted of text that has a pattern, by the field."""


def explain(error: ValidationError, document: Written, top: Path = ()) -> Iterator[Problem]:
    """One problem for each thing the schema refused; `top` is the path of what was validated."""
    for detail in error.errors(include_url=False):
        path = (*top, *(part for part in detail["loc"] if part != "[key]"))
        kind = detail["type"]
        if kind == "extra_forbidden":
            yield unknown_field(document, path)
        elif kind == "missing" and isinstance(path[-1], str):
            message = sentence(f"the field {path[-1]!r}", "none", "add it")
            yield document.problem(path[:-1], message, key=True)
        else:
            path = path[:-1] if kind == "missing" else path  # of two numbers the second
            expected, advice = _expectation(detail)
            found = describe(document, path, detail["input"])
            yield document.problem(path, sentence(expected, found, advice))


def unknown_field(document: Written, path: Path) -> Problem:
    """A name that is not a field here, and the field it was probably meant to be."""
    name = str(path[-1])
    section = section_at(path[:-1])
    fields = () if section is None else tuple(section.model_fields)
    other = _OTHER_WORDS.get(name)
    advice = f"did you mean {other!r}?" if other in fields else suggestion(name, fields)
    shown = "one that may not be shown" if _LOOKS_SECRET.search(name) else repr(printable(name))
    # The path of an unknown field ends in its name, which may be a secret in the wrong place.
    problem = document.problem(path, sentence("a known field", shown, advice), key=True)
    if not _LOOKS_SECRET.search(name):
        return problem
    above = document.problem(path[:-1], "")
    return Problem(problem.file, problem.line, problem.column, above.path, problem.message)


def _expectation(detail: ErrorDetails) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Unfit):
        return cause.expected, cause.advice
    if kind == "string_type":
        number = isinstance(detail["input"], (int, float))
        return "text", "put it in quotes" if number else ""
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(detail["loc"][-1]), ("text of another form", ""))
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "literal_error":
        words = [word.strip("'") for word in re.findall(r"'[^']*'", context["expected"])]
        given = detail["input"]
        match = nearest(given, words) if isinstance(given, str) else None
        return f"one of {', '.join(words)}", f"did you mean {match!r}?" if match else ""
    return _bound(kind, context), ""


def _bound(kind: str, context: dict[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"a number of at least {context['ge']}"
        case "greater_than":
            return f"a number above {context['gt']:g}"
        case "less_than_equal":
            return f"a number of at most {context['le']}"
        case "string_too_short":
            return "text that is not empty"
        case "string_too_long":
            return f"at most {context['max_length']} characters"
        case _:
            return f"another value ({kind.replace('_', ' ')})"


def describe(document: Written, path: Path, value: object) -> str:
    """What was found at `path`, in the words of the file; secrets by their kind only."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    kind = "text" if isinstance(value, str) else "a number"
    if isinstance(value, bool):
        kind = "true or false"
    written = document.written(path)
    if written is None:
        return kind
    if not written:
        return "an empty value"
    if _REFERENCE_ONLY.fullmatch(written):
        return f"what {printable(written)} holds"
    if "$" in written or is_secret(path) or _LOOKS_SECRET.search(written):
        return f"{kind} that may not be shown"
    return repr(printable(written)) if kind == "text" else printable(written)


def is_secret(path: Path) -> bool:
    """Whether what stands there is never shown."""
    return any(part in _SECRET_FIELDS for part in path)


def section_at(path: Path) -> type[Section] | None:
    """The class of the mapping at `path`."""
    kind: Any = Config
    for part in path:
        kind = _inner(_bare(kind), part)
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _bare(kind: Any) -> Any:
    """A type without Annotated and None."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, types.UnionType):
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
        else:
            return kind


def _inner(kind: Any, part: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, Named):
        return kind.ENTRY
    if isinstance(kind, type) and issubclass(kind, Section):
        field = kind.model_fields.get(str(part))
        return None if field is None else field.annotation
    arguments = get_args(kind)
    return arguments[-1] if arguments else None
