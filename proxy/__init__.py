"""Headrace: an LLM API proxy for applications that count milliseconds.

The rooms, from the street to the cellar. A module imports from its own room and from rooms below, never upwards,
and never sideways where a bar stands between the names.

    __main__  cli  supervisor  worker     composition: builds everything, is imported by nobody
    telemetry                             spans on their way to a collector; imported only where they are wanted
    gateway | control | simulator         data plane, control plane, and a provider to try them with
    upstream                              outbound HTTP: connections, names, deadlines
    state                                 what a worker knows: a snapshot comes in, a ledger goes out
    dialects                              wire formats: what an answer means, and how an error is said
    wire                                  framing: server-sent events, the top level of a JSON body, headers
    limits | ledger                       what all workers of a host share: counters in memory, records on the disk
    core                                  words shared by all: errors, model, configuration, clock, tasks
    hooks                                 what code of an installation's own is written with; knows of nothing else

`wire`, `dialects` and `state` do no I/O: they can be tested with bytes and read without knowing a loop.
`gateway` and `control` meet in `state` only, so nothing of the control plane can slow a request down.

One request, in the order of the rooms it passes:

    client -> gateway   read the request, authenticate, reserve, plan (no await: decisions are pure)
           -> upstream  try the candidates until one gives its first content
           -> gateway   relay every read as one write in the same turn of the loop; a tap watches the bytes
           -> state     settle the reservation, whatever happened

The contracts in `pyproject.toml` hold the order; `tests/test_architecture.py` runs them.
"""

__version__ = "0.1.0"
