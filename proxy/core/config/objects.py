"""One object of the admin API, checked as the configuration file is: same fields, same words, same errors.

Imports pydantic: only the control plane uses it, never a module that the data path imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct
from pydantic import ValidationError

from proxy.core.clock import now
from proxy.core.config import explain, stored
from proxy.core.config.checks import ADVISED, Check, buys_tokens, is_object
from proxy.core.config.names import PLAIN_NAME, is_plain
from proxy.core.config.neighbours import Neighbours
from proxy.core.config.plain import is_false, table
from proxy.core.config.presets import presets
from proxy.core.config.problem import Path, Problem, dotted, printable, sentence, suggestion
from proxy.core.config.references import NAMED_SECRET
from proxy.core.config.remarks import IGNORED_PARAMS
from proxy.core.config.values import moment
from proxy.core.redact import redact
from proxy.core.template import gaps

if TYPE_CHECKING:
    from proxy.core.config.schema import Config

MAX_NAME = 200
MAX_REFUSALS = 100
"""A page pasted in place of an object is not explained word by word."""
_NAMED = frozenset({"provider", "model", "key", "setting"})
_DENIED: Mapping[str, Mapping[str, str]] = {
    "provider": {
        "credential_env": "the API reads no variables of this machine; send credentials instead"
    },
    "key": {"key": "keys are made here", "name": ""},
    "setting": {"file": "only the configuration file says where log lines go"},
}
"""Kind to fields of the file that mean nothing, or too much, from outside; and what to do instead."""
_INSIDE: Mapping[str, tuple[str, str]] = {
    "provider": ("credentials", "credential"),
    "model": ("deployments", "deployment"),
}
"""Kind to the field that holds objects of their own, and their kind."""
_LISTS = ("models", "routes", "cidrs", "aliases", "fallbacks", "prefer")
_SWITCHES = ("enabled", "allow_private", "allow_http", "verify_tls")
_NO_REFERENCES = "the API reads no files and variables of this machine; send the value itself"


class Wrong(Struct, frozen=True):
    """One thing wrong: where in the body (`timeouts.ttft`, `headers.host`), and a sentence."""

    field: str
    message: str


class Around(Struct, frozen=True, eq=False):
    """What is there already, as an object is checked: names only where names are enough."""

    config: Config
    """The file's."""
    providers: frozenset[str] | Mapping[str, Any]
    """Names in the store."""
    models: Mapping[str, Mapping[str, Any]]
    """Name in the store to its spec (aliases and fallbacks matter)."""
    owners: Mapping[str, str] | None = None
    """Their names, aliases and patterns, each to the name of the model; None: to be worked out of the specs."""
    own: Collection[str] | None = None
    """Of these the ones that the object has so far; None: to be looked for."""


class Checked(Struct, frozen=True, eq=False):
    """What is stored: the fields as given (validated, unknown ones refused, presets by name), secrets apart."""

    spec: dict[str, Any]
    secrets: dict[str, Any]
    """`key` of a credential; `headers`, `query`, `proxy` of a provider: sealed by the caller."""
    wrong: tuple[Wrong, ...] = ()
    warnings: tuple[str, ...] = ()
    """It can be stored, and is perhaps not meant so."""
    inside: tuple[tuple[str, Checked], ...] = ()
    """Kind and content of what was given inside the body and is an object of its own: credentials, deployments."""


def check_object(
    kind: str,
    name: str,
    body: Mapping[str, Any],
    around: Around,
    *,
    parent: str = "",
    was: str = "",
    kept: Collection[str] = (),
) -> Checked:
    """A provider, credential, model, deployment, key or setting called `name` (before it is written).

    `parent` is the provider's or the model's name. References `${…}`, `file:` and `credential_env` are not allowed
    from outside: the API must not read this machine's files and variables. `was` is its name so far, when it is
    renamed; `kept` are secret fields that are stored already, and so may be missing here.
    """
    return _Object(kind, name, body, around, parent, was, kept).checked()


class _Object:
    """One check."""

    def __init__(
        self,
        kind: str,
        name: str,
        body: Mapping[str, Any],
        around: Around,
        parent: str,
        was: str,
        kept: Collection[str],
    ) -> None:
        self.kind, self.name, self.parent, self.around = kind, name, parent, around
        self.place = stored.place(kind, name, parent)
        self.words = stored.Words(self.place, body)
        # A null is as good as leaving the field out.
        self.fields = {name: deepcopy(value) for name, value in body.items() if value is not None}
        # Of other kinds none is a model of its name.
        gone = {name, was} if kind == "model" else frozenset[str]()
        self.neighbours = Neighbours(around.config, around.models, gone, around.owners, around.own)
        self.kept = kept
        self.wrong: dict[str, str] = {}
        """Field to the first thing that is wrong with it: whatever else is follows from that."""
        self.warnings: list[str] = []

    def checked(self) -> Checked:
        self._name()
        self._denied()
        self._references(self.fields, ())
        self._in_sight()
        if self._preset():
            whole = stored.expanded(self.kind, self.fields)
            self._schema(whole)
            self._spanning(whole)
        if self.wrong:
            wrong = tuple(Wrong(field, message) for field, message in self.wrong.items())
            return Checked({}, {}, wrong)
        self._remarks()
        return self._apart()

    def _say(self, field: str, expected: str, found: str = "", advice: str = "") -> None:
        self.wrong.setdefault(field, sentence(expected, found, advice))

    def _report(self, problem: Problem) -> None:
        self.wrong.setdefault(problem.path, problem.message)

    # --- before the schema ---

    def _name(self) -> None:
        name = self.name
        if self.kind not in _NAMED:
            return
        if self.kind == "setting" and name not in stored.SETTINGS:
            self._say("name", f"one of {', '.join(stored.SETTINGS)}", repr(printable(name)))
        elif not name or len(name) > MAX_NAME:
            self._say("name", f"a name of 1 to {MAX_NAME} characters")
        elif not is_plain(name):
            self._say("name", PLAIN_NAME)
        elif not name.strip("/"):
            self._say("name", "a name that is not only '/'")

    def _denied(self) -> None:
        for name, advice in _DENIED.get(self.kind, {}).items():
            if name in self.fields and (self.kind != "setting" or self.name == "logging"):
                self.fields.pop(name)
                self._say(name, "a field of the API", repr(name), advice)

    def _references(self, value: Any, path: Path) -> None:
        if isinstance(value, str):
            if "${" in value or value.startswith("file:") or NAMED_SECRET.fullmatch(value):
                self._say(dotted(path), "a value", "a reference", _NO_REFERENCES)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                self._references(item, (*path, name))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._references(item, (*path, index))

    def _in_sight(self) -> None:
        """A conversation is shown to whoever may read, and exported; what is secret in it belongs elsewhere."""
        block = table(self.fields.get("conversation"))
        for path, section in (
            (("conversation",), block),
            (("conversation", "create"), table(block.get("create"))),
        ):
            for name, value in table(section.get("headers")).items():
                if isinstance(value, str) and _is_secret(name, value):
                    self._say(
                        dotted((*path, "headers", name)),
                        "a header that everybody may see",
                        "what looks like a secret",
                        "put it under headers of the provider, which are kept sealed and sent with both calls",
                    )

    def _preset(self) -> bool:
        """Whether there is nothing unknown about its preset: else all the rest is."""
        preset = self.fields.get("preset")
        if self.kind != "provider" or not isinstance(preset, str) or preset in presets():
            return True
        found = explain.describe(self.words, (*self.place, "preset"), preset)
        self._say("preset", "a preset", found, suggestion(preset, presets(), "presets"))
        return False

    # --- the schema, and what spans several fields or objects ---

    def _schema(self, whole: dict[str, Any]) -> None:
        if self.kind == "setting" and self.name not in stored.SETTINGS:
            return
        try:
            stored.validate(self.kind, self.name, whole)
        except ValidationError as error:
            refusals = stored.refusals(error, self.words, self.place)
            for refusal in islice(refusals, MAX_REFUSALS):
                if not (refusal.missing and refusal.field in self.kept):
                    self.wrong.setdefault(refusal.field, refusal.message)

    def _spanning(self, whole: dict[str, Any]) -> None:
        check = One(self.around, self.words)
        check.run_for(self.kind, self.place, whole, wildcard=self.parent.endswith("*"))
        for problem in check.problems:
            self._report(problem)
        if self.kind == "model":
            for field, message in self.neighbours.problems(self.name, whole):
                self.wrong.setdefault(field, message)

    # --- afterwards ---

    def _remarks(self) -> None:
        fields, warn = self.fields, self.warnings.append
        for section in ("param_defaults", "param_overrides"):
            for name in IGNORED_PARAMS:
                if name in table(fields.get(section)):
                    warn(f"{section}.{name}: never taken from here; remove it")
        if is_false(fields.get("verify_tls")):
            warn("verify_tls: certificates are not checked: anybody between can read along")
        if self.kind == "key":
            self._key_remarks()
        if self.kind == "setting":
            said = getattr(self.around.config, self.name).model_fields_set
            for name in sorted(said & fields.keys()):
                warn(f"{name}: the configuration file says it too, and wins")

    def _key_remarks(self) -> None:
        fields, warn = self.fields, self.warnings.append
        if "expires" in fields and moment(fields["expires"]) <= now():
            warn("expires: this date is past: the key is refused")
        for pattern in _listed(fields.get("models", []))[:ADVISED]:
            if not self.neighbours.known(pattern):
                warn(f"models: no model is called {printable(pattern)!r}")

    def _apart(self) -> Checked:
        """Secrets and objects of their own, out of the spec."""
        spec = dict(self.fields)
        for name in _LISTS:
            if name in spec:
                spec[name] = _listed(spec[name])
        for name in _SWITCHES:
            if name in spec:
                spec[name] = not is_false(spec[name])
        sealed = stored.SEALED.get(self.kind, frozenset())
        secrets = {name: spec.pop(name) for name in sorted(spec.keys() & sealed)}
        if self.kind == "credential" and "key" in secrets:
            secrets["key"] = _in_one_line(secrets["key"].strip())
        inside: list[tuple[str, Checked]] = []
        if self.kind in _INSIDE:
            field, kind = _INSIDE[self.kind]
            for item in _listed(spec.pop(field, [])):
                fields = {"key": item} if isinstance(item, str) else item
                one = _Object(kind, "", fields, self.around, self.name, "", ())
                inside.append((kind, one._apart()))
        return Checked(spec, secrets, (), tuple(self.warnings), tuple(inside))


def _is_secret(name: str, value: str) -> bool:
    """Whether a header looks like a secret: by its name too, unless it stands for something else each time."""
    text = value if any(gaps(value)) else f"{name}: {value}"
    return redact(text) != text


def _in_one_line(key: str) -> str:
    """A document without line ends, whatever its provider makes of it later; any other key as it is."""
    return orjson.dumps(orjson.loads(key)).decode() if is_object(key) else key


def _listed(value: Any) -> list[Any]:
    """One word where a list is usual."""
    return value if isinstance(value, list) else [value]


class One(Check):
    """The checks of a document, for one object of it."""

    __slots__ = ("_stored",)

    def __init__(self, around: Around, words: stored.Words) -> None:
        super().__init__({}, words)
        self._stored: Mapping[str, Any] = (
            around.providers if isinstance(around.providers, Mapping) else {}
        )
        self.providers = dict.fromkeys((*around.config.providers, *sorted(around.providers)))

    def run_for(self, kind: str, place: Path, block: dict[str, Any], *, wildcard: bool) -> None:
        """Whatever spans several fields of it, or names another object."""
        match kind:
            case "provider":
                self._provider(place, block)
            case "credential":
                key = block.get("key")
                if isinstance(key, str) and not key.strip():
                    self._report((*place, "key"), "a key", "an empty value")
                owner = self._stored.get(str(place[1]), {})
                if not (buys_tokens(stored.expanded("provider", owner)) and is_object(key)):
                    self._token((*place, "key"), key)
            case "model":
                self._model(str(place[-1]), block)
            case "deployment":
                self._deployment(place, block, wildcard)
            case "key":
                self._rules(place, block)
            case "setting":
                self.data = {str(place[0]): block}
                self._auth()
                self._usage()
            case _:
                raise ValueError(kind)

    def _add(self, preset: str) -> str:
        return f"add a provider with preset: {preset}"
