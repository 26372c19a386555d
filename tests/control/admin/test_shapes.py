"""What of an object is shown, and what never."""

from __future__ import annotations

import orjson
import pytest

from proxy.control.admin.infile import FileObject
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.sealing import seal
from proxy.control.admin.shapes import READ_ONLY, audited, of_file, settable, shape
from proxy.core import virtual_key
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper
from proxy.state.mirror import Mirror

VAULT = Vault([Secret("Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U")])
OTHER = Vault([Secret("uD5hRk9ZpQ2wXe7TnLc4VbJm8Gs1FyAo")])
PEPPER = Pepper("p", b"x" * 32)


def sealed(kind: Kind, id: int, parent: int = 0, name: str = "", **secrets: object) -> Record:
    return Record(kind, id, id, name, parent, sealed=seal(VAULT, kind, id, secrets))


def over(*records: Record) -> Overlay:
    mirror = Mirror()
    mirror.apply(records)
    return Overlay(mirror)


def test_of_a_credential_only_the_end_is_shown() -> None:
    provider = Record(Kind.PROVIDER, 1, 1, "p")
    long, short = (
        sealed(Kind.CREDENTIAL, 2, 1, key="a-long-key-1234"),
        sealed(Kind.CREDENTIAL, 3, 1, key="short"),
    )
    seen = over(provider, long, short)

    shown = [shape(one, seen, VAULT) for one in (long, short)]

    assert [(one["provider"], one["key"], one["set"], one["last4"]) for one in shown] == [
        ("p", "***", True, "1234"),
        ("p", "***", True, ""),
    ]


def test_of_a_provider_the_names_of_its_secrets_are_shown() -> None:
    provider = sealed(Kind.PROVIDER, 1, name="p", headers={"x-a": "hidden"}, proxy="http://hidden")

    text = orjson.dumps(shape(provider, over(provider), VAULT)).decode()

    assert '"headers":{"x-a":"***"}' in text
    assert '"proxy":"***"' in text
    assert "hidden" not in text


@pytest.mark.parametrize("vault", [OTHER, None])
def test_what_does_not_open_says_so(vault: Vault | None) -> None:
    provider = sealed(Kind.PROVIDER, 1, name="p", proxy="http://hidden")

    shown = shape(provider, over(provider), vault)

    assert shown["set"] is True
    assert "master key" in shown["problem"]
    assert "proxy" not in shown


@pytest.mark.parametrize("private", [b"", b"nonsense", b"[]"])
def test_a_key_without_digests_is_not_set(private: bytes) -> None:
    record = Record(Kind.KEY, 1, 1, "k", private=private)

    assert shape(record, over(record), VAULT)["set"] is False


def test_a_digest_is_never_shown() -> None:
    kept = virtual_key.kept(virtual_key.mint(), PEPPER)
    record = Record(Kind.KEY, 1, 1, "k", private=virtual_key.private([kept]))

    for shown in (shape(record, over(record), VAULT), audited(record)):
        assert kept.digest not in repr(shown)
        assert (shown["key_id"], shown["last4"]) == (kept.id, kept.last4)


def test_the_audit_log_masks_what_looks_like_a_secret() -> None:
    record = Record(
        Kind.DEPLOYMENT, 2, 2, parent=1, spec=b'{"param_overrides":{"api_key":"hidden"}}'
    )

    shown = audited(record, "changed")

    assert shown == {"param_overrides": {"api_key": "***"}, "parent": 1, "secrets": "changed"}


def test_an_object_of_the_file_is_read_only() -> None:
    shown = of_file(FileObject(Kind.CREDENTIAL, "p#0", "", {"weight": 2, "last4": "1234"}, "p"))

    assert shown == {
        "id": "p#0",
        "kind": "credential",
        "provider": "p",
        "weight": 2,
        "rpm": None,
        "tpm": None,
        "concurrency": None,
        "quota": None,
        "last4": "1234",
        "key": "***",
        "set": True,
        "source": "file",
        "read_only": True,
    }


def test_what_nobody_sets_is_left_out_of_a_body() -> None:
    body = dict.fromkeys(READ_ONLY, 1) | {"name": "n", "rpm": 5}

    assert settable(body) == {"name": "n", "rpm": 5}
