"""A store's objects in memory, and imports into them: everything but the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.control.admin import sealing
from proxy.control.admin.access import Principal, Role
from proxy.control.admin.draft import Draft
from proxy.control.admin.export import Secrets, Source, document, text
from proxy.control.admin.ground import Means
from proxy.control.admin.importing import read_yaml
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.planning import plan
from proxy.control.admin.transfer import Mode, Plan, Stock
from proxy.core.config.schema import Config
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper
from proxy.state.mirror import Mirror

OWNER = Principal("owner", Role.OWNER)
VAULT = Vault([Secret("vuXu1dZTfW0pVnNq7dJmYzr5o2kQhL8c")])
PEPPER = Pepper("p0000001", b"\x01" * 32)


class Stocked:
    """What one installation has."""

    def __init__(self, vault: Vault | None = VAULT, peppers: Sequence[Pepper] = (PEPPER,)) -> None:
        self.mirror = Mirror()
        self.vault = vault
        self.peppers = tuple(peppers)

    def planned(self, content: Any, mode: Mode = Mode.MERGE) -> Plan:
        """What an import would have to do."""
        return plan(content, Stock.of(self.mirror, self.vault, self.peppers), mode)

    def take(self, content: Any, mode: Mode = Mode.MERGE) -> int:
        """Import it; how many records were written."""
        made = self.planned(content, mode)
        assert made.faults == []
        self.peppers += tuple(Pepper(name, secret) for name, secret in made.peppers.items())
        means = Means(OWNER, Config(), self.vault, self.peppers, {})
        draft = Draft(Overlay(self.mirror), self.mirror.revision, means)
        for step in made.steps:
            draft.do(step.edit)
        self.mirror.apply(draft.records.values())
        return len(draft.records)

    def take_text(self, written: str, mode: Mode = Mode.MERGE) -> int:
        """The same with YAML."""
        return self.take(read_yaml(written), mode)

    def shown(self, secrets: Secrets = Secrets.REFERENCES) -> str:
        """An export."""
        return text(document(self.source, secrets))

    def opened(self) -> dict[str, Any]:
        """Everything, with secrets: what two installations are compared by."""

        content = document(self.source, Secrets.OMIT)
        for record in self.mirror.records["provider"].values():
            block = content["providers"][record.name]
            block["secret"] = sealing.open_sealed(self.vault, record)
            block["credentials"] = [
                (sealing.open_sealed(self.vault, one), one.spec)
                for one in self.mirror.children("credential", record.id)
            ]
        for block in content.get("keys", ()):
            kept = self.mirror.get("key", block["name"])
            assert kept is not None
            block["digests"] = kept.private
        return content

    @property
    def source(self) -> Source:
        return Source(Stock.of(self.mirror, self.vault, self.peppers))
