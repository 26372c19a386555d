"""Certificates from their files: what can be used, and what is said of everything else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from proxy.core.certificates import Unusable, load, mark
from proxy.core.model import TLS
from tests.upstream.certificates import Authority

REVOKED = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
EC_KEY = bytes.fromhex("06072a8648ce3d0201")
"""The object identifier of public keys on elliptic curves (RFC 5480, 2.1.1)."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, **changes: str) -> TLS:
    certificate, key = authority.issue()
    return TLS(**{"certificate": str(certificate), "key": str(key), **changes})


def refused(settings: TLS) -> tuple[str, str]:
    """Which field is to blame, and for what."""
    with pytest.raises(Unusable) as error:
        load(settings)
    return error.value.field, str(error.value)


def test_a_certificate_and_its_key(authority: Authority) -> None:
    context, expires = load(tls(authority))

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    assert expires == pytest.approx(datetime.now(UTC).timestamp() + 86400, abs=60)


def test_what_may_be_asked_for(authority: Authority) -> None:
    context, _ = load(tls(authority, min_version="1.3", client_ca=str(authority.path)))

    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_the_first_to_end_of_a_chain_is_the_end(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue(days=30)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate.read_bytes() + authority.path.read_bytes())

    _, expires = load(TLS(str(chain), str(key)))

    assert expires < datetime.now(UTC).timestamp() + 2 * 86400


def test_a_file_that_is_not_there(authority: Authority) -> None:
    field, said = refused(tls(authority, key="/nowhere/privkey.pem"))

    assert field == "key"
    assert said == "/nowhere/privkey.pem: it cannot be read: No such file or directory"


def test_files_that_were_swapped(authority: Authority) -> None:
    good = tls(authority)

    field, said = refused(TLS(good.key, good.certificate))

    assert field == "certificate"
    assert "there is a private key, no certificate in it" in said


def test_a_key_of_another_certificate(authority: Authority) -> None:
    field, said = refused(tls(authority, key=str(authority.issue()[1])))

    assert field == "key"
    assert "the key of another certificate" in said


def test_a_chain_in_the_wrong_order(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue()
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.path.read_bytes() + certificate.read_bytes())

    field, said = refused(TLS(str(chain), str(key)))

    assert field == "certificate"
    assert "has to be the first in it, and is number 2" in said


def test_a_key_with_a_passphrase(authority: Authority, tmp_path: Path) -> None:
    certificate, path = authority.issue()
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a passphrase"),
        )
    )

    field, said = refused(TLS(str(certificate), str(path)))

    assert field == "key"
    assert "it is encrypted: write it without a passphrase" in said


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
@pytest.mark.parametrize("field", ["certificate", "key", "client_ca"])
def test_what_is_nothing_of_the_kind(
    authority: Authority, tmp_path: Path, content: bytes, field: str
) -> None:
    path = tmp_path / "other.pem"
    path.write_bytes(content)

    blamed, said = refused(tls(authority, **{field: str(path)}))

    assert blamed == field
    assert said.startswith(f"{path}: there is ")


def test_an_authority_that_openssl_refuses(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    # Only OpenSSL looks at lists of what was revoked.
    path.write_bytes(authority.path.read_bytes() + REVOKED)

    field, said = refused(tls(authority, client_ca=str(path)))

    assert field == "client_ca"
    assert said.startswith(f"{path}: OpenSSL refuses it: ")


def unknown(certificate: Path) -> bytes:
    """The same with a key of an algorithm nobody knows."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert der.count(EC_KEY) == 1
    return ssl.DER_cert_to_PEM_cert(der.replace(EC_KEY, EC_KEY[:-1] + b"\x7f")).encode()


def test_a_certificate_of_an_algorithm_that_is_not_known(authority: Authority) -> None:
    settings = tls(authority)
    path = Path(settings.certificate)
    path.write_bytes(unknown(path))

    field, said = refused(settings)

    assert field == "key"
    assert "the key of another certificate" in said


def test_an_authority_in_the_chain_whose_algorithm_is_not_known(authority: Authority) -> None:
    settings = tls(authority)
    path = Path(settings.certificate)
    path.write_bytes(path.read_bytes() + unknown(authority.path))

    field, said = refused(settings)

    assert field == "certificate"
    assert said.startswith(f"{path}: OpenSSL refuses it: ")


def test_a_link_that_leads_elsewhere_is_a_change(authority: Authority, tmp_path: Path) -> None:
    first, second = authority.issue(), authority.issue()
    links = tmp_path / "tls.crt", tmp_path / "tls.key"
    for link, path in zip(links, first, strict=True):
        link.symlink_to(path)
    settings = TLS(*map(str, links))
    before = mark(settings)

    assert mark(settings) == before
    links[0].unlink()
    links[0].symlink_to(second[0])
    assert mark(settings) != before
    links[0].unlink()
    assert mark(settings)[0] is None
