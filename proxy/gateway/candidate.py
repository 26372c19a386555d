"""What a plan hands out: an attempt to make, and what to do after one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.errors import ProxyError, UpstreamError
from proxy.state.credentials import CredentialState

if TYPE_CHECKING:
    from proxy.core.model import Credential, Deployment, Model
    from proxy.gateway.slots import Kind, Slot
    from proxy.limits.subjects import Subject
    from proxy.state.live import DeploymentState


class Candidate(Struct, gc=False):
    """One attempt to make. A new one for each, also on the same deployment."""

    model: Model
    deployment: Deployment
    credential: Credential | None
    upstream_model: str
    state: DeploymentState
    credential_state: CredentialState | None
    """None where the provider needs no credential."""
    slot: Slot
    held: CredentialState
    """What a refusal cools: the credential, or the deployment's stand-in for one."""
    started: float
    """When it is to be sent."""
    probe: int
    dialect: str = ""
    """What the provider is asked in."""
    streak: float = 0.0
    in_flight: bool = True
    subjects: tuple[Subject, ...] = ()
    """What is limited of it, as far as it was admitted."""


class Step(Struct, frozen=True, gc=False):
    """What to do after a failure: wait `delay` and try `candidate`, or give up with `error`."""

    candidate: Candidate | None
    delay: float
    error: ProxyError | UpstreamError | None
    kind: Kind
