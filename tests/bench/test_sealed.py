"""What is measured over TLS answers over TLS, and so does what is behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import machine, measure, peers, sealed
from bench.scenarios import QUICK, SCENARIOS, SEALED, SEALED_BASELINE, SEALED_NOTHING
from proxy.core import certificates
from proxy.core.model import TLS

FREE = machine.Cores(frozenset(), frozenset(), frozenset())


def test_a_certificate_can_be_used(tmp_path: Path) -> None:
    files = sealed.certificate(tmp_path)

    certificates.load(TLS(str(files.certificate), str(files.key)))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [SEALED_NOTHING, SEALED_BASELINE, SEALED])
def test_whoever_is_measured_answers(name: str) -> None:
    if name == SEALED_BASELINE and peers.nginx_program() is None:
        pytest.skip("nginx is not installed")
    (request,) = (one for one in SCENARIOS if one.name == "tls_request")
    with sealed.starters(FREE)[name]() as peer:
        outcome = measure.run(request.load(QUICK), peer, FREE)

    assert (peer.name, peer.tls) == (name, True)
    assert outcome.requests > 0  # on a machine that has much else to do Headrace refuses the others
