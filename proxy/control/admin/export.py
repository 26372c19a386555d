"""`GET /admin/config/export`: the store's objects in the words of the configuration file.

The same objects give the same text, in the order of their names: it can be kept under version control. Sealed secrets
alone differ each time.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
import yaml
from msgspec import Struct

from proxy.control.admin import carried, sealing
from proxy.control.admin.access import Permission, may_touch
from proxy.control.admin.carried import Bound
from proxy.control.admin.intake import choice, known
from proxy.control.admin.services import needs_store
from proxy.control.admin.trail import note
from proxy.control.admin.transfer import Stock
from proxy.control.admin.web import JSON, Answer, Fault, Problem, Route
from proxy.core import virtual_key
from proxy.core.config.document import resolve
from proxy.core.records import Kind, spec_of

if TYPE_CHECKING:
    from proxy.control.admin.access import Principal
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.records import Record
    from proxy.core.vault import Vault

YAML = "application/yaml; charset=utf-8"
HEAD = "# Objects of Headrace's store, as GET /admin/config/export shows them. POST /admin/config/import takes them back.\n"


class Secrets(StrEnum):
    """What an export has in the place of a secret."""

    REFERENCES = "references"
    """`${HEADRACE_…}`, to be filled in."""
    ENCRYPTED = "encrypted"
    """Sealed texts, for an installation with the same master key."""
    OMIT = "omit"
    """Nothing."""


class Format(StrEnum):
    """Of an export."""

    YAML = "yaml"
    JSON = "json"


class Source(Struct, frozen=True, eq=False):
    """What is exported, and what it is opened with."""

    stock: Stock
    whose: Principal | None = None
    """Who asks, if not for everything: keys they may not touch are not there."""


def document(source: Source, secrets: Secrets) -> dict[str, Any]:
    """Plain dicts and lists. Raises Problem 409 no_master_key where secrets cannot be opened."""
    return _Writer(source, secrets).document()


def text(content: dict[str, Any]) -> str:
    """As YAML, which `core.config.document` reads as the same values."""
    if not content:
        return HEAD + "{}\n"
    return HEAD + yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000
    )


class _Writer:
    """One export."""

    def __init__(self, source: Source, secrets: Secrets) -> None:
        self._records = source.stock.records
        self._credentials = source.stock.families(Kind.CREDENTIAL)
        self._deployments = source.stock.families(Kind.DEPLOYMENT)
        self._vault = source.stock.vault
        self._peppers = {pepper.id: pepper for pepper in source.stock.peppers}
        self._whose = source.whose
        self._secrets = secrets
        self._variables = carried.Variables()

    def document(self) -> dict[str, Any]:
        sections: dict[str, Any] = {one.name: spec_of(one) for one in self._named(Kind.SETTING)}
        sections |= {
            "providers": {one.name: self._provider(one) for one in self._named(Kind.PROVIDER)},
            "models": {one.name: self._model(one) for one in self._named(Kind.MODEL)},
            "keys": [self._key(one) for one in self._named(Kind.KEY) if self._is_theirs(one)],
        }
        return {name: section for name, section in sections.items() if section}

    def _named(self, kind: str) -> list[Record]:
        return sorted(self._records.get(kind, {}).values(), key=lambda one: one.name)

    def _is_theirs(self, key: Record) -> bool:
        return self._whose is None or may_touch(self._whose, spec_of(key).get("team") or "")

    def _provider(self, record: Record) -> dict[str, Any]:
        spec = spec_of(record)
        children = self._credentials.get(record.id, ())
        if self._secrets is Secrets.OMIT:
            return spec
        opened = self._opened(record)
        bound = Bound.of(spec, opened.get("proxy"))
        for name in sorted(opened):
            value = opened[name]
            if isinstance(value, Mapping):
                spec[name] = {
                    one: self._hidden(value[one], "provider", bound, record.name, name, one)
                    for one in value
                }
            else:
                spec[name] = self._hidden(value, "provider", bound, record.name, name)
        if children:
            spec["credentials"] = [
                self._credential(child, record.name, bound, number)
                for number, child in enumerate(children, 1)
            ]
        return spec

    def _credential(
        self, record: Record, provider: str, bound: Bound, number: int
    ) -> dict[str, Any]:
        words = (provider, "key", str(number))
        if self._secrets is Secrets.REFERENCES:
            return {"key": self._variables.reference(*words), **spec_of(record)}
        opened = self._opened(record)
        if "key" not in opened:  # cleared, and not given again
            return spec_of(record)
        return {"key": self._hidden(opened["key"], "credential", bound, *words), **spec_of(record)}

    def _model(self, record: Record) -> dict[str, Any]:
        spec = spec_of(record)
        children = self._deployments.get(record.id, ())
        if children:
            spec["deployments"] = [spec_of(child) for child in children]
        return spec

    def _key(self, record: Record) -> dict[str, Any]:
        start = {"name": record.name}
        if self._secrets is Secrets.REFERENCES:
            start["key"] = self._variables.reference("client", "key", record.name)
        elif self._secrets is Secrets.ENCRYPTED:
            start["key"] = carried.seal(self._needed(), "key", self._digests(record))
        return {**start, **spec_of(record)}

    def _digests(self, record: Record) -> dict[str, Any]:
        """What is kept of a virtual key, and the peppers that it takes to make the same of what a client presents."""
        names = {one.pepper for one in virtual_key.digests(record.private)}
        return {
            "digests": orjson.loads(record.private or b"[]"),
            "peppers": {
                name: b64encode(self._peppers[name].secret).decode()
                for name in sorted(names & self._peppers.keys())
            },
        }

    def _hidden(self, value: Any, purpose: str, bound: Bound, *words: str) -> str:
        if self._secrets is Secrets.REFERENCES:
            return self._variables.reference(*words)
        return carried.seal(self._needed(), purpose, value, bound)

    def _opened(self, record: Record) -> dict[str, Any]:
        opened = sealing.open_sealed(self._vault, record)
        if opened is None:
            raise Problem(
                409,
                "no_master_key",
                "Secrets cannot be opened with the master keys that are here; secrets=omit needs none.",
                (Fault(f"{record.kind} {record.id}", "it does not open"),),
            )
        return opened

    def _needed(self) -> Vault:
        if self._vault is None:
            raise sealing.no_master_key()
        return self._vault


class _Dumper(yaml.SafeDumper):
    """Writes what `resolve` reads: YAML 1.2, where PyYAML decides by 1.1 what needs quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, data: str) -> yaml.ScalarNode:
    # Only between double quotes are all characters what they are: others fold line ends, of which there are several.
    style = '"' if not data.isprintable() else None if isinstance(resolve(data), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)


# --- the route ---


async def export(request: Request, services: Services) -> Answer:
    """Everything the store has of the configuration, of keys those one may touch. Noted in the audit log where it holds secrets."""
    store = needs_store(services)
    known(request, "secrets", "format")
    secrets = choice(request, "secrets", Secrets, Secrets.REFERENCES)
    format = choice(request, "format", Format, Format.YAML)
    sync = services.sync
    source = Source(Stock.of(sync.mirror, sync.vault, sync.peppers), request.who)
    content = await asyncio.to_thread(_written, source, secrets, format)
    if secrets is Secrets.ENCRYPTED:
        async with store.transaction() as session:
            await note(session, request, "config.export", "config")
    headers = {"content-disposition": f'attachment; filename="headrace-export.{format}"'}
    return Answer(content, headers=headers, kind=JSON if format is Format.JSON else YAML)


def _written(source: Source, secrets: Secrets, format: Format) -> bytes:
    """Beside the loop: of ten thousand keys it takes seconds."""
    content = document(source, secrets)
    if format is Format.JSON:
        return orjson.dumps(content, option=orjson.OPT_INDENT_2)
    return text(content).encode()


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/config/export",
        Permission.CONFIGURE,
        export,
        "Export the store's objects",
        aliases=("/api/config/export",),
        tag="config",
        query={"secrets": {"enum": list(Secrets)}, "format": {"enum": list(Format)}},
        gives=("application/yaml", "application/json"),
    ),
)
