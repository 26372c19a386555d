"""What is measured over TLS: to the client and to the provider both, for nginx, for Headrace, and with nothing between.

One certificate for all, made for the run: P-256, signed by itself, for 127.0.0.1. Nobody checks it, as nginx by itself does not
check a server behind it: connections are kept, so a handshake has no part in what is measured.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from bench import peers
from bench.peers import Files, Peer, Starter, Upstream
from bench.scenarios import SEALED, SEALED_BASELINE, SEALED_NOTHING

if TYPE_CHECKING:
    from bench.machine import Cores

DAY = datetime.timedelta(days=1)


def certificate(folder: Path) -> Files:
    """A new one, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headrace-bench")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Files(folder / "tls.crt", folder / "tls.key")
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def starters(cores: Cores) -> dict[str, Starter]:
    """By name; each has a simulator of its own, which is idle while another is measured."""
    made: dict[str, Start] = {
        SEALED_NOTHING: lambda upstream, _: peers.bare(upstream),
        SEALED_BASELINE: lambda upstream, files: peers.nginx(upstream, cores, tls=files),
        SEALED: lambda upstream, files: peers.headrace(upstream, cores, tls=files),
    }
    return {name: partial(_behind, name, start, cores) for name, start in made.items()}


Start = Callable[[Upstream, Files], AbstractContextManager[Peer]]


@contextmanager
def _behind(name: str, start: Start, cores: Cores) -> Iterator[Peer]:
    with peers.workdir() as folder:
        files = certificate(folder)
        with peers.simulator(cores, files) as upstream, start(upstream, files) as peer:
            yield replace(peer, name=name, tls=True)
