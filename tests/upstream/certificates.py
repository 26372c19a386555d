"""Certificates of an authority that is trusted in tests only, good ones and others."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs server certificates."""

    def __init__(self, folder: Path, name: str = "Authority of a test") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._issued = 0
        certificate = (
            _certificate(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.path = folder / "authority.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def trusted(self) -> ssl.SSLContext:
        """What a client has that trusts it and nobody else."""
        return ssl.create_default_context(cafile=str(self.path))

    def server(self, host: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """What a server has that calls itself `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(host, expired=expired))
        return context

    def issue(
        self, host: str = "127.0.0.1", *, expired: bool = False, days: int = 1
    ) -> tuple[Path, Path]:
        """The files of a new certificate for `host`, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(_named(host), self._name, key, days=-1 if expired else days)
            .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        self._issued += 1
        paths = (
            self._folder / f"server-{self._issued}.pem",
            self._folder / f"server-{self._issued}.key",
        )
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: int = 1,
) -> x509.CertificateBuilder:
    end = datetime.datetime.now(datetime.UTC) + days * DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - max(days + 2, 3) * DAY)
        .not_valid_after(end)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


Bad = Callable[[Authority, Authority], ssl.SSLContext]
BAD: dict[str, tuple[Bad, str]] = {
    "expired": (lambda ours, _: ours.server(expired=True), "has expired"),
    "wrong host": (lambda ours, _: ours.server("other.example"), "mismatch"),
    "unknown authority": (lambda _, theirs: theirs.server(), "unable to get local issuer"),
}
"""(trusted, another) to what the server has; what is said of it."""
