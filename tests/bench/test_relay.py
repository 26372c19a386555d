"""The bare relay passes on what it gets, both ways."""

from __future__ import annotations

import http.client

from bench import machine, peers


def test_it_streams_an_answer_of_the_simulator() -> None:
    nowhere = machine.Cores(frozenset(), frozenset(), frozenset())
    body = b'{"model": "sim-n3-d0-f0", "stream": true, "messages": [], "x": "' + b"a" * 2_000_000
    with peers.simulator(nowhere) as upstream, peers.aiohttp_relay(upstream, nowhere) as peer:
        connection = http.client.HTTPConnection(peer.host, peer.port, timeout=20)
        connection.request("POST", peers.PATH, body + b'"}', {"Authorization": "Bearer x"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert content.endswith(b"data: [DONE]\n\n")
