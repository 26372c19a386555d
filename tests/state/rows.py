"""Records as the store would give them, with real seals and digests."""

from __future__ import annotations

from typing import Any

import orjson
from msgspec.structs import replace

from proxy.core.config import Config, parse
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper, kept, private
from proxy.state.compiler import Compiled, Compiler
from proxy.state.mirror import Mirror

VAULT = Vault([Secret("kQ9vX2mB7tR4wZ1pL6sD8fG3hJ5nC0yU-aEoIqTx")])
OTHER_VAULT = Vault([Secret("Zt7uYq3NfW0cXv5Rb8LmKj2HgPd9Se4A-oIxUyQw")])
PEPPER = Pepper("p1", b"p" * 32)
URL = "https://api.example.com/v1"
ALL = frozenset(str(kind) for kind in Kind)


def file(text: str = "") -> Config:
    return parse(text, "h.yaml", {}).config


class Rows:
    """Writes records one after another, as the store numbers them, into a mirror."""

    def __init__(self) -> None:
        self.revision = 0
        self.mirror = Mirror()
        self.changed: set[str] = set()
        """Kinds since somebody asked."""

    def add(
        self,
        kind: str,
        name: str = "",
        *,
        parent: Record | None = None,
        sealed: dict[str, Any] | None = None,
        vault: Vault = VAULT,
        private: bytes = b"",
        **spec: Any,
    ) -> Record:
        self.revision += 1
        id = self.revision
        secrets = "" if sealed is None else vault.seal(orjson.dumps(sealed), f"{kind}/{id}")
        above = 0 if parent is None else parent.id
        return self._written(
            Record(kind, id, id, name, above, orjson.dumps(spec), secrets, private)
        )

    def change(self, record: Record, name: str | None = None, **spec: Any) -> Record:
        self.revision += 1
        name = record.name if name is None else name
        return self._written(
            replace(record, revision=self.revision, name=name, spec=orjson.dumps(spec))
        )

    def remove(self, record: Record) -> Record:
        self.revision += 1
        return self._written(replace(record, revision=self.revision, spec=b"{}", deleted=True))

    def provider(self, name: str = "p", key: str = "sk-upstream", **spec: Any) -> Record:
        """A provider with one credential."""
        record = self.add("provider", name, **{"base_url": URL, **spec})
        self.add("credential", parent=record, sealed={"key": key})
        return record

    def model(self, name: str = "m", *providers: str, **spec: Any) -> Record:
        """A model with one deployment at each of these providers."""
        record = self.add("model", name, **spec)
        for one in providers:
            self.add("deployment", parent=record, provider=one)
        return record

    def key(self, name: str = "k", text: str = "sk-application", **spec: Any) -> Record:
        return self.add("key", name, private=private([kept(Secret(text), PEPPER)]), **spec)

    def _written(self, record: Record) -> Record:
        self.changed |= self.mirror.apply([record])
        return record


def compiled(
    rows: Rows,
    config: Config | None = None,
    vault: Vault | None = VAULT,
    compiler: Compiler | None = None,
) -> Compiled:
    """What these rows make together with a file, all of it."""
    compiler = compiler or Compiler()
    return compiler.compile(config or file(), rows.mirror, ALL, vault, (PEPPER,))
