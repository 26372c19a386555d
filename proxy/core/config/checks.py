"""Errors that span several values: names that lead nowhere, clashes, cycles, addresses that may not be used.

These read the plain data, not the schema's objects, so that they are found in the same run as a misspelt field
elsewhere. A value of the wrong kind is somebody else's error: here it counts as absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from proxy.core import surfaces
from proxy.core.address import is_loopback
from proxy.core.config import address, allowances, conversations, sources
from proxy.core.config.explain import describe
from proxy.core.config.names import FALLBACKS, PLAIN_NAME, Public, cycles, is_plain, member_fault
from proxy.core.config.plain import Table, is_false, is_true, table, tables, texts
from proxy.core.config.presets import presets
from proxy.core.config.problem import Fault, Path, Problem, Written, printable, sentence, suggestion
from proxy.core.config.schema import Admin, Server
from proxy.core.config.values import HEADER_NAME
from proxy.core.secret import Secret
from proxy.core.url import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


ADVISED = 20
"""Problems before advice gets short."""

_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the connection: a value from outside would break it."""
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MCP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x7e]*")
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
"""As browsers send it: lower case, no path, and no port where it is the usual one."""
_QUERY = re.compile(r"[!$-;=?-Z_a-z~]+")
"""What follows a `?`: no `#`, which would begin a fragment."""
_PLACEHOLDER = re.compile(r"://[^/]*[A-Z]{4}")


class Check:
    """One run over one document. Every method adds to `problems`."""

    __slots__ = ("_document", "aliases", "data", "models", "problems", "providers")

    def __init__(self, data: Table, document: Written) -> None:
        self.data = data
        self._document = document
        self.providers = table(data.get("providers"))
        self.models = table(data.get("models"))
        self.aliases: dict[str, str] = {}
        self.problems: list[Problem] = []

    def run(self) -> list[Problem]:
        self._admin()
        self._store()
        self._secrets()
        self._auth()
        self._usage()
        tracing = table(self.data.get("tracing"))
        self._spelled_once(("tracing", "headers"), table(tracing.get("headers")))
        for name, block in self.providers.items():
            self._name(("providers", name))
            self._provider(("providers", name), table(block))
        for name, block in table(self.data.get("mcp")).items():
            self._mcp(("mcp", name), table(block))
        for name, block in self.models.items():
            self._name(("models", name))
            self._model(name, table(block))
        self._aliases()
        self._fallbacks()
        self._keys()
        return self.problems

    def _report(
        self, path: Path, expected: str, found: str = "", advice: str = "", *, key: bool = False
    ) -> None:
        self.problems.append(
            self._document.problem(path, sentence(expected, found, advice), key=key)
        )

    def _nearest(self, word: str, known: Collection[str], what: str = "known here") -> str:
        """Advice, as long as there is not much of it: it takes longer than everything else here."""
        return suggestion(word, known, what) if len(self.problems) < ADVISED else ""

    def _likely(self, name: str) -> str:
        """What to write instead of a dialect that is none."""
        if name == surfaces.CONVERSATION:
            return "describe the service under conversation, which implies it"
        return self._nearest(name, surfaces.DIALECTS)

    def _line(self, path: Path) -> int:
        return self._document.position(path, key=True)[0]

    def _shown(self, path: Path, value: Any) -> str:
        return describe(self._document, path, value)

    def _name(self, path: Path) -> None:
        name = str(path[-1])
        if not is_plain(name):
            self._report(path, PLAIN_NAME, key=True)

    # --- sections ---

    def _admin(self) -> None:
        admin, server = table(self.data.get("admin")), table(self.data.get("server"))
        for index, origin in texts(admin.get("origins")):
            if not _ORIGIN.fullmatch(origin):
                where: Path = ("admin", "origins", index)
                found = self._shown(where, origin)
                self._report(where, "an origin", found, "write https://ops.example.com")
        port = _port(Admin, admin)
        shared = bool(port) and port == _port(Server, server)
        if shared and admin.get("tls") is not None:
            advice = "server.tls holds for both"
            self._report(("admin", "tls"), "none, where one listener serves both", "one", advice)
        anonymous = is_true(admin.get("anonymous"))
        secrets = (admin.get("token"), admin.get("password"))
        if any(isinstance(item, str) and item.strip() for item in secrets) and not anonymous:
            return
        host, path = str(admin.get("host") or "127.0.0.1"), ("admin", "host")
        if shared:
            # One listener serves both, and it is the server's.
            host, path = str(server.get("host") or "0.0.0.0"), ("admin", "port")  # noqa: S104 - the default
        if is_loopback(host):
            return
        if anonymous:
            expected = "no admin.anonymous, because this listener is reachable from other machines"
            self._report(path, expected, "true", "remove it, or listen on 127.0.0.1")
        else:
            expected = "admin.token or admin.password, because this listener is reachable from other machines"
            self._report(path, expected, "none", "set a token, or listen on 127.0.0.1")

    def _store(self) -> None:
        url = table(self.data.get("store")).get("url")
        if not isinstance(url, str) or not url.strip():
            return
        scheme = url.partition("://")[0].casefold() if "://" in url else ""
        if scheme in ("postgresql", "postgres"):
            return
        if scheme == "sqlite":
            if not sqlite_file(url):
                usual = "a file, as in sqlite:///data/headrace.db or sqlite:////var/lib/headrace.db"
                self._report(
                    ("store", "url"), usual, "another URL", "write it without a host and options"
                )
            return
        databases = "SQLite (sqlite:///data/headrace.db) or PostgreSQL (postgresql://user:password@host/name)"
        mysql = scheme.startswith(("mysql", "mariadb"))
        found = f"{scheme.partition('+')[0]}, which is not supported" if mysql else "another URL"
        self._report(("store", "url"), databases, found, "choose one of the two")

    def _secrets(self) -> None:
        block = table(self.data.get("secrets"))
        self._faults(("secrets", "sources"), sources.faults(table(block.get("sources"))))
        keys = block.get("keys")
        listed = [Secret(key.strip()) for _, key in texts(keys) if key.strip()]
        if not listed:
            return
        # Late: most configurations have no such key, and cryptography takes its time.
        from proxy.core.vault import Vault, WeakKey

        admin = table(self.data.get("admin"))
        others = [
            Secret(value.strip())
            for value in (admin.get("token"), admin.get("password"))
            if isinstance(value, str) and value.strip()
        ]
        try:
            Vault(listed, not_these=others)
        except WeakKey as error:
            self._report(("secrets", "keys"), "master keys that nobody guesses", advice=str(error))

    def _auth(self) -> None:
        for index, path in texts(table(self.data.get("auth")).get("exempt")):
            if not path.startswith("/"):
                where: Path = ("auth", "exempt", index)
                self._report(where, "a path that begins with '/'", self._shown(where, path))

    def _usage(self) -> None:
        self._faults((), allowances.sections(self.data))

    def _faults(self, path: Path, faults: Iterable[Fault]) -> None:
        for fault in faults:
            where = (*path, *fault.where)
            self._report(where, fault.expected, fault.found, fault.advice, key=fault.key)

    # --- providers ---

    def _provider(self, path: Path, block: Table) -> None:
        self._base_url(path, block)
        self._proxy((*path, "proxy"), block)
        self._dialects((*path, "dialects"), block.get("dialects"))
        self._prefer((*path, "prefer"), block.get("prefer"))
        self._conversation((*path, "conversation"), table(block.get("conversation")))
        for name in table(block.get("auth")):
            if name not in surfaces.AUTH:
                advice = suggestion(name, surfaces.AUTH)
                self._report(
                    (*path, "auth", name),
                    "a dialect family",
                    repr(printable(name)),
                    advice,
                    key=True,
                )
        self._auth_headers((*path, "auth"), block.get("auth"))
        self._fields((*path, "fields"), block.get("fields"))
        self._headers((*path, "headers"), table(block.get("headers")))
        credentials = block.get("credentials")
        listed = credentials if isinstance(credentials, list) else [credentials]
        for index, item in enumerate(listed):
            key = table(item).get("key", item)
            if not (buys_tokens(block) and is_object(key)):
                self._token((*path, "credentials", index), key)

    def _mcp(self, path: Path, block: Table) -> None:
        if not _MCP_NAME.fullmatch(str(path[-1])):
            expected = "a name of letters, digits, - and _, as it is in the path"
            self._report(path, expected, repr(printable(str(path[-1]))), key=True)
        url = block.get("url")
        if isinstance(url, str) and _QUERY.fullmatch(url.strip().partition("?")[2]):
            url = url.strip().partition("?")[0]
        self._address((*path, "url"), url, block)
        self._headers((*path, "headers"), table(block.get("headers")))
        self._auth_headers((*path, "auth"), block.get("auth"))
        self._token((*path, "credential"), block.get("credential"))

    def _auth_headers(self, path: Path, auth: Any) -> None:
        places = {(*path, family): place for family, place in table(auth).items()} or {path: auth}
        for where, place in places.items():
            scheme, _, name = place.strip().partition(":") if isinstance(place, str) else ("",) * 3
            if scheme == "header" and name.strip().casefold() in _OURS:
                advice = "it belongs to the connection"
                self._report(where, "a header that may be set", repr(name.strip()), advice)

    def _base_url(self, path: Path, block: Table) -> None:
        self._address((*path, "base_url"), block.get("base_url"), block)

    def _address(self, where: Path, url: Any, block: Table) -> None:
        if not isinstance(url, str):
            return
        if _PLACEHOLDER.search(url):
            advice = "set base_url; host names are written in lower case"
            self._report(where, "your own address", "a placeholder in capitals", advice)
            return
        wrong = address.fault(
            url.strip(),
            allow_private=is_true(block.get("allow_private")),
            allow_http=is_true(block.get("allow_http")),
        )
        if wrong is not None:
            self._report(where, wrong.expected, wrong.found, wrong.advice)

    def _proxy(self, path: Path, block: Table) -> None:
        url = block.get("proxy")
        if not isinstance(url, str) or not url.strip():
            return
        allow_private = is_true(block.get("allow_private"))
        wrong = address.proxy_fault(url.strip(), allow_private=allow_private)
        if wrong is not None:
            self._report(path, wrong.expected, wrong.found, wrong.advice)

    def _dialects(self, path: Path, dialects: Any) -> None:
        if dialects in ([], {}):
            self._report(
                path, "at least one dialect", "none", "leave it out for the usual of openai.*"
            )
        for index, name in texts(dialects):
            if name not in surfaces.DIALECTS:
                self._report((*path, index), "a dialect", repr(printable(name)), self._likely(name))
        for name, root in table(dialects).items():
            where = (*path, name)
            if name not in surfaces.DIALECTS:
                self._report(
                    where, "a dialect", repr(printable(name)), self._likely(name), key=True
                )
            elif isinstance(root, str) and not address.is_root(root):
                self._report(where, "a path such as /v1/chat/completions", self._shown(where, root))

    def _fields(self, path: Path, fields: Any) -> None:
        for name, block in table(fields).items():
            if name not in surfaces.DIALECTS:
                where, likely = (*path, name), self._likely(name)
                self._report(where, "a dialect", repr(printable(name)), likely, key=True)
            for field, bounds in table(table(block).get("clamp")).items():
                where = (*path, name, "clamp", field)
                numbers = isinstance(bounds, list) and len(bounds) == 2
                numbers = numbers and all(isinstance(one, int | float) for one in bounds)
                if numbers and bounds[0] > bounds[1]:
                    self._report(where, "the least, then the most", str(bounds), "swap them")

    def _prefer(self, path: Path, names: Any) -> None:
        listed = texts([names] if isinstance(names, str) else names)
        for index, name in listed:
            if name not in surfaces.DIALECTS and name != surfaces.CONVERSATION:
                advice = suggestion(name, surfaces.DIALECTS)
                self._report((*path, index), "a dialect", repr(printable(name)), advice)

    def _conversation(self, path: Path, block: Table) -> None:
        self._faults(path, conversations.faults(block))
        create = table(block.get("create"))
        for where, headers in (
            (path, {"referer": block.get("referer")}),
            ((*path, "headers"), table(block.get("headers"))),
            ((*path, "create", "headers"), table(create.get("headers"))),
        ):
            self._headers(where, headers)

    def _headers(self, path: Path, headers: Table) -> None:
        for name, value in headers.items():
            self._header((*path, name), name, value)
        self._spelled_once(path, headers)

    def _spelled_once(self, path: Path, headers: Table) -> None:
        """Of two spellings of one name the later would be sent, and the other be there for nothing."""
        first: dict[str, str] = {}
        for name in headers:
            where, other = (*path, name), first.setdefault(name.casefold(), name)
            # What a preset says is no spelling of the writer's.
            if other != name and self._document.written((*path, other)) is not None:
                there = self._document.problem((*path, other), "").path
                found = f"{printable(name)!r}, which is {there} too"
                self._report(where, "a header that is named once", found, "remove one", key=True)

    def _header(self, path: Path, name: str, value: Any) -> None:
        if not HEADER_NAME.fullmatch(name):
            self._report(path, "the name of a header", repr(printable(name)), key=True)
        elif name.casefold() in _OURS:
            self._report(
                path,
                "a header that may be set",
                repr(name),
                "remove it: it belongs to the connection",
                key=True,
            )
        elif isinstance(value, str) and not _HEADER_VALUE.fullmatch(value):
            self._report(path, "text that may stand in a header", "line ends or other characters")

    def _token(self, path: Path, value: Any) -> None:
        if isinstance(value, str) and not _TOKEN.fullmatch(value.strip()):
            self._report(path, "a key of visible ASCII characters", "spaces or others")

    # --- models ---

    def _model(self, name: str, block: Table) -> None:
        path: Path = ("models", name)
        wildcard = name.endswith("*")
        if "*" in name[:-1]:
            self._report(
                path, "at most one '*', at the end of the name", repr(printable(name)), key=True
            )
        for index, item in tables(block.get("deployments")):
            self._deployment((*path, "deployments", index), item, wildcard)

    def _deployment(self, path: Path, block: Table, wildcard: bool) -> None:
        provider = block.get("provider")
        if isinstance(provider, str) and provider not in self.providers:
            where = (*path, "provider")
            advice = self._nearest(provider, self.providers, "configured providers")
            if provider in presets():
                advice = self._add(provider)
            self._report(where, "a configured provider", self._shown(where, provider), advice)
        upstream = block.get("model")
        if isinstance(upstream, str) and upstream.count("*") > int(wildcard):
            where = (*path, "model")
            expected = "at most one '*'" if wildcard else "a name without '*'"
            advice = "" if wildcard else "'*' stands for what the '*' of the public name matched"
            self._report(where, expected, self._shown(where, upstream), advice)
        self._prefer((*path, "prefer"), block.get("prefer"))
        self._faults((*path, "price"), allowances.price(block.get("price")))
        if is_false(block.get("stream")) and is_false(block.get("non_stream")):
            self._report(
                (*path, "non_stream"),
                "stream or non_stream",
                "false for both",
                "remove one: a deployment gives streams, whole answers, or both",
            )
        if is_true(block.get("preferred")) and block.get("priority") is not None:
            self._report(
                (*path, "preferred"),
                "preferred or priority",
                "both",
                "remove one: preferred is priority 0",
            )

    def _add(self, preset: str) -> str:
        return f"add it under providers: {preset}: {{preset: {preset}}}"

    def _aliases(self) -> None:
        for name, block in self.models.items():
            for index, alias in texts(table(block).get("aliases")):
                path: Path = ("models", name, "aliases", index)
                if alias in self.models:
                    line = self._line(("models", alias))
                    found = f"the name of the model on line {line}"
                elif alias in self.aliases:
                    line = self._line(("models", self.aliases[alias]))
                    found = f"an alias of {printable(self.aliases[alias])!r} on line {line}"
                elif not alias or alias.endswith("*") != name.endswith("*") or "*" in alias[:-1]:
                    kind = (
                        "a beginning followed by '*'"
                        if name.endswith("*")
                        else "a name without '*'"
                    )
                    self._report(path, f"{kind}, as the model's own name", self._shown(path, alias))
                    continue
                elif not is_plain(alias):
                    self._report(path, PLAIN_NAME)
                    continue
                else:
                    self.aliases[alias] = name
                    continue
                self._report(
                    path,
                    "a name of its own",
                    f"{self._shown(path, alias)}, {found}",
                    "rename or remove one",
                )

    def _fallbacks(self) -> None:
        public = Public({**self.aliases, **{name: name for name in self.models}})
        edges: dict[str, list[tuple[str, Path]]] = {}
        for name, block in self.models.items():
            for kind in FALLBACKS:
                for index, other in texts(table(block).get(kind)):
                    path: Path = ("models", name, kind, index)
                    target = public.reached(other)
                    if target is None:
                        names = [*self.models, *self.aliases]
                        advice = self._nearest(other, names, "configured models")
                        self._report(path, "a configured model", self._shown(path, other), advice)
                    else:
                        edges.setdefault(name, []).append((target, path))
        for chain, path in cycles(edges):
            shown = " -> ".join(printable(name) for name in chain)
            self._report(path, "fallbacks that end", f"a cycle: {shown}", "remove one of them")
        self._members(public)
        self._other_models(public)

    def _other_models(self, public: Public) -> None:
        """Models that rules lead to."""
        for name, block in self.models.items():
            for index, rule in tables(table(block).get("rules")):
                other = rule.get("use")
                if isinstance(other, str) and other and public.reached(other) is None:
                    path: Path = ("models", name, "rules", index, "use")
                    advice = self._nearest(other, public.owners, "configured models")
                    self._report(path, "a configured model", self._shown(path, other), advice)

    def _members(self, public: Public) -> None:
        """Models whose deployments another uses."""
        for name, block in self.models.items():
            for index, other in texts(table(block).get("models")):
                path: Path = ("models", name, "models", index)
                expected, advice = member_fault(other, public, self._lists)
                if not expected:
                    continue
                advice = advice or self._nearest(other, public.owners, "configured models")
                self._report(path, expected, self._shown(path, other), advice)

    def _lists(self, name: str) -> bool:
        return bool(table(self.models.get(name)).get("models"))

    # --- keys ---

    def _keys(self) -> None:
        names: dict[str, int] = {}
        secrets: dict[str, int] = {}
        for index, block in tables(self.data.get("keys")):
            path: Path = ("keys", index)
            if isinstance(name := block.get("name"), str):
                if not is_plain(name):
                    self._report((*path, "name"), PLAIN_NAME)
                first = names.setdefault(name, index)
                if first != index:
                    self._again((*path, "name"), "a name", first)
            if isinstance(key := block.get("key"), str):
                key = key.strip()
                if not key:
                    self._report((*path, "key"), "a key", "an empty value")
                    continue
                self._token((*path, "key"), key)
                first = secrets.setdefault(key, index)
                if first != index:
                    self._again((*path, "key"), "a key", first)
            self._rules(path, block)

    def _rules(self, path: Path, block: Table) -> None:
        """What a virtual key may do."""
        self._faults(path, allowances.budget(block))
        for field in ("owner", "team"):
            if isinstance(name := block.get(field), str) and not is_plain(name):
                self._report((*path, field), PLAIN_NAME)
        for position, pattern in texts(block.get("models")):
            if "*" in pattern[:-1] or not pattern:
                where = (*path, "models", position)
                self._report(
                    where, "a name, or a beginning followed by '*'", self._shown(where, pattern)
                )
        routes = block.get("routes")
        for position, pattern in texts([routes] if isinstance(routes, str) else routes):
            if not _is_route(pattern):
                where = (*path, "routes", position)
                advice = self._nearest(pattern, surfaces.OPERATIONS, "operations")
                expected = "a route (/v1/chat/completions) or an operation (chat)"
                self._report(where, expected, self._shown(where, pattern), advice)

    def _again(self, path: Path, what: str, first: int) -> None:
        line = self._line(("keys", first, path[-1]))
        self._report(
            path, f"{what} of its own", f"the one of keys[{first}] on line {line}", "change one"
        )


def _port(section: type[Admin | Server], block: Table) -> int | None:
    """As the schema reads it, which takes `08001` too; None where it takes it for none."""
    try:
        return section.model_validate({"port": block.get("port")}).port
    except ValidationError:
        return None


def _is_route(pattern: str) -> bool:
    """Whether it can allow anything: a path, an operation, or the beginning of one followed by `*`."""
    start = pattern.removesuffix("*")
    if "*" in start or start.startswith("/"):
        return "*" not in start
    if start != pattern:
        return any(name.startswith(start) for name in surfaces.OPERATIONS)
    return pattern in surfaces.OPERATIONS


def buys_tokens(block: Table) -> bool:
    """Whether its credential is never presented itself: for Google it may be a document, with spaces and lines in it."""
    auth = block.get("auth")
    if isinstance(auth, dict):
        named = block.get("dialects")
        names = named if named and isinstance(named, dict | list) else surfaces.OPENAI
        spoken = {surfaces.family(str(name)) for name in names}
        places = [auth.get(family) for family in spoken]
    else:
        places = [auth]
    return all(isinstance(one, str) and one.strip().startswith("google") for one in places)


def is_object(key: Any) -> bool:
    """Whether it is a document: a service account."""
    try:
        return isinstance(key, str) and isinstance(orjson.loads(key), dict)
    except orjson.JSONDecodeError:
        return False
