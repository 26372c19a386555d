"""The certificate of a listener: read from its files, tried, and what is wrong with it said.

OpenSSL says `[SSL] PEM lib` of nearly everything. So the files are looked at first, and only then given to it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.core import marks

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from proxy.core.model import TLS

PROTOCOLS: Final = ["http/1.1"]
"""What is agreed on by ALPN (RFC 7301)."""
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Mark = tuple[marks.Mark, ...]
"""Of some files as they are."""


class Unusable(ValueError):
    """It cannot be served with. `field` is the one of the section that is to blame."""

    def __init__(self, field: str, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.field = field


def mark(tls: TLS) -> Mark:
    """What is different after a change of one of the files, or of a link to it."""
    return tuple(marks.mark(path) for path in _paths(tls))


def load(tls: TLS) -> tuple[ssl.SSLContext, float]:
    """What a listener is served with, and the Unix time at which the first certificate of its chain ends. Raises Unusable."""
    chain = _chain("certificate", tls.certificate)
    key = _key(tls.key)
    _belongs(key.public_key(), chain, tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(PROTOCOLS)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise _refused("certificate", tls.certificate, error) from None
    if tls.client_ca is not None:
        _chain("client_ca", tls.client_ca)
        try:
            context.load_verify_locations(tls.client_ca)
        except OSError as error:
            raise _refused("client_ca", tls.client_ca, error) from None
        context.verify_mode = ssl.CERT_REQUIRED
    expires = min(one.not_valid_after_utc for one in chain).timestamp()
    return context, expires


def _paths(tls: TLS) -> list[str]:
    return [path for path in (tls.certificate, tls.key, tls.client_ca) if path is not None]


def _read(field: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unusable(field, path, f"it cannot be read: {error.strerror}") from None


def _refused(field: str, path: str, error: OSError) -> Unusable:
    """What an `ssl.SSLError` says, or the system of a file that has gone since it was looked at."""
    why = getattr(error, "reason", None) or error.strerror or "it was not accepted"
    return Unusable(field, path, f"OpenSSL refuses it: {why}")


def _chain(field: str, path: str) -> list[x509.Certificate]:
    # Late: it takes its time, and most listeners have no certificate.
    from cryptography import x509

    content = _read(field, path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        other = "a private key, " if b"PRIVATE KEY-----" in content else ""
        why = f"there is {other}no certificate in it: PEM begins with -----BEGIN CERTIFICATE-----"
        raise Unusable(field, path, why) from None


def _key(path: str) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives import serialization

    content = _read("key", path)
    try:
        # OpenSSL looks at it again; here that a number is a prime would take a tenth of a second.
        return serialization.load_pem_private_key(
            content, password=None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        why = "it is encrypted: write it without a passphrase, readable by this user alone"
        raise Unusable("key", path, why) from None
    except Exception:
        # ValueError, and what the library has for curves and algorithms it does not know.
        why = "there is no private key in it: PEM begins with -----BEGIN PRIVATE KEY-----"
        raise Unusable("key", path, why) from None


def _belongs(key: PublicKeyTypes, chain: list[x509.Certificate], tls: TLS) -> None:
    """The first certificate of the chain is the one of this key."""
    owners = [index for index, one in enumerate(chain) if _is_of(one, key)]
    if not owners:
        why = f"it is the key of another certificate than the one in {tls.certificate}"
        raise Unusable("key", tls.key, why)
    if owners[0]:
        why = f"the certificate of this server has to be the first in it, and is number {owners[0] + 1}"
        raise Unusable("certificate", tls.certificate, why)


def _is_of(certificate: x509.Certificate, key: PublicKeyTypes) -> bool:
    try:
        return certificate.public_key() == key
    except Exception:
        # As of private keys: of a curve or an algorithm that the library does not know, so not of this one.
        return False
