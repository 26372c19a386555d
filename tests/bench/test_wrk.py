"""The judge in C: what it is told, and how its words are read."""

from __future__ import annotations

import pytest

from bench import outside, wrk
from bench.machine import Cores
from bench.peers import Peer, PeerError, Upstream, simulator

FREE = Cores(frozenset(), frozenset(), frozenset())
SAID = """\
Running 1s test @ http://127.0.0.1:8080
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.62ms    1.47ms  23.19ms   94.92%
    Req/Sec    10.84k     1.19k   12.56k    72.73%
  Latency Distribution
     50%  845.00us
     75%    1.77ms
     90%    2.45ms
     99%    7.12ms
  11871 requests in 1.10s, 4.14MB read
Requests/sec:  10791.36
Transfer/sec:      3.76MB
"""


def test_what_it_says_is_read_in_one_unit() -> None:
    assert wrk.read(SAID) == wrk.Rate(10791.36, 845.0, 7120.0)


@pytest.mark.parametrize(
    "wrong", ["  Non-2xx or 3xx responses: 17\n", "  Socket errors: connect 0, read 3, write 0\n"]
)
def test_an_answer_that_was_wrong_is_no_figure(wrong: str) -> None:
    with pytest.raises(PeerError, match=wrong.strip().partition(":")[0]):
        wrk.read(SAID.replace("Requests/sec", wrong + "Requests/sec"))


def test_silence_is_no_figure() -> None:
    with pytest.raises(PeerError):
        wrk.read("")


def test_the_script_sends_what_our_own_load_generator_sends() -> None:
    script = wrk._script(Peer("p", "127.0.0.1", 1, key="sk-x"), "sim")

    assert "wrk.headers[ [==[Authorization]==] ] = [==[Bearer sk-x]==]" in script
    assert 'wrk.body = [==[{"model":"sim",' in script
    assert "Content-Length" not in script


def test_it_asks_for_answers_that_are_right() -> None:
    """As far as there is one: a machine without it gets no figure of it, and is told so."""
    said: list[str] = []
    with simulator(FREE) as upstream:
        if not wrk.is_there():
            assert outside.rates(outside.QUICK, upstream, FREE, said.append) == []
            assert said == ["outside: wrk is not installed, so nobody else counts requests"]
            return
        rate = wrk.ask(Peer("bare", upstream.host, upstream.port), outside.REQUEST, 1.0, FREE)

    assert rate.requests > 0
    assert 0 < rate.p50 <= rate.p99


def test_without_it_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setenv("PATH", "")

    assert outside.rates(outside.QUICK, Upstream("127.0.0.1", 9), FREE, said.append) == []
    assert said == ["outside: wrk is not installed, so nobody else counts requests"]
