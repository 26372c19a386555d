"""The log is complete when it can be written, and harmless when it cannot."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import pty
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from proxy.core import clock, log, model
from proxy.core.clock import Hands
from proxy.core.lines import QUEUED_MESSAGE, Entry, RequestLine
from proxy.core.redact import forget, register

Configure = Callable[..., Path]


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """Log into a file of this test, as JSON; returns its path."""
    level = logging.getLogger().level

    def start(**settings: object) -> Path:
        path = tmp_path / "headrace.log"
        log.configure(model.Logging(file=str(path), **settings))  # type: ignore[arg-type]
        return path

    yield start
    log.close()
    forget()
    logging.getLogger().setLevel(level)


@pytest.fixture
def hands() -> Iterator[Hands]:
    with clock.held() as hands:
        yield hands


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe nobody reads, of the smallest size."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    level = logging.getLogger().level
    yield reader, writer
    os.close(reader)  # the log's thread, if it still writes, gets an error and ends
    log.close()
    os.close(writer)
    logging.getLogger().setLevel(level)


def line(number: int = 0, **fields: object) -> RequestLine:
    return RequestLine(
        time=1_800_000_000.0,
        request_id=f"request-{number}",
        method="POST",
        route="/v1/chat/completions",
        status=200,
        outcome="ok",
        **fields,  # type: ignore[arg-type]
    )


def read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(text) for text in path.read_bytes().splitlines()]


def test_a_request_and_a_message_are_written_in_their_order(configure: Configure) -> None:
    path = configure()

    log.request(line(1))
    log.logger.warning("odd: %s", "value")
    log.request(line(2))
    assert log.flush()

    written = read(path)
    assert [entry.get("request_id") or entry["message"] for entry in written] == [
        "request-1",
        "odd: value",
        "request-2",
    ]
    assert written[1]["level"] == "warning"
    assert written[1]["logger"] == "headrace"


def test_request_lines_can_be_switched_off(configure: Configure) -> None:
    path = configure(requests=False)

    log.request(line())
    log.flush()

    assert read(path) == []


def test_the_level_holds_for_messages(configure: Configure) -> None:
    path = configure(level="warning")

    log.logger.info("quiet")
    log.logger.error("loud")
    log.flush()

    assert [entry["message"] for entry in read(path)] == ["loud"]


def test_an_exception_is_written_without_its_secrets(configure: Configure) -> None:
    register("planted-canary-secret")
    path = configure()

    try:
        raise ValueError("no access with planted-canary-secret and sk-abcdefgh12345678")
    except ValueError:
        log.logger.exception("provider said %s", "planted-canary-secret")
    log.flush()

    (entry,) = read(path)
    text = path.read_text()
    assert entry["message"] == "provider said ***"
    assert "ValueError: no access with *** and ***" in str(entry["error"])
    assert "canary" not in text
    assert "abcdefgh" not in text


def test_a_message_whose_arguments_do_not_fit_is_written_all_the_same(configure: Configure) -> None:
    path = configure()

    # Past the handlers of pytest, which would fail the test.
    assert log._handler is not None
    log._handler.handle(logging.makeLogRecord({"msg": "%d of %d", "args": ("one",)}))
    log.flush()

    assert read(path)[0]["message"] == "%d of %d (its arguments do not fit)"


def test_a_line_that_cannot_be_written_is_counted_and_spares_the_others(
    configure: Configure,
) -> None:
    path = configure()
    before = log.dropped()

    log.request(line(1, dialect="\udc80"))
    log.request(line(2))
    log.flush()

    assert [entry["request_id"] for entry in read(path)] == ["request-2"]
    assert log.dropped() == before + 1


def test_python_warnings_are_in_the_log(configure: Configure) -> None:
    path = configure()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    log.flush()

    # catch_warnings() restores what it found, so only what was shown meanwhile is asked about.
    assert "old thing" in str(read(path)[0]["message"])


def test_closing_writes_the_rest(configure: Configure) -> None:
    path = configure()

    for number in range(5_000):
        log.request(line(number))
    log.close()

    assert len(read(path)) == 5_000


def test_nothing_is_logged_after_closing_and_nothing_fails(configure: Configure) -> None:
    path = configure()
    log.close()

    log.request(line())

    assert log.flush()
    assert read(path) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "headrace-log"]


def test_a_second_configuration_replaces_the_first(configure: Configure, tmp_path: Path) -> None:
    first = configure()
    log.request(line(1))
    second = tmp_path / "second.log"

    log.configure(model.Logging(file=str(second)))
    log.request(line(2))
    log.logger.info("once")
    log.close()

    assert [entry["request_id"] for entry in read(first)] == ["request-1"]
    assert len(read(second)) == 2


def test_a_file_that_was_moved_away_is_opened_anew(configure: Configure, tmp_path: Path) -> None:
    path = configure()
    log.request(line(1))
    log.flush()

    path.rename(tmp_path / "rotated.log")
    log.request(line(2))
    log.flush()

    assert [entry["request_id"] for entry in read(tmp_path / "rotated.log")] == ["request-1"]
    assert [entry["request_id"] for entry in read(path)] == ["request-2"]


def test_what_is_written_is_changed_while_it_is_written(configure: Configure) -> None:
    path = configure(level="warning")
    log.logger.info("one")
    log.request(line(1))

    log.adjust(model.Logging(level="debug", requests=False))
    log.logger.debug("two")
    log.request(line(2))
    log.adjust(model.Logging(level="error"))
    log.logger.warning("three")
    log.request(line(3))
    log.flush()

    written = [entry.get("message") or entry["request_id"] for entry in read(path)]
    assert written == ["request-1", "two", "request-3"]


def test_nothing_is_changed_where_nothing_is_written() -> None:
    level = logging.getLogger().level

    log.adjust(model.Logging(level="debug"))

    assert logging.getLogger().level == level


def test_a_share_of_what_went_well_is_written_and_all_of_the_rest(configure: Configure) -> None:
    path = configure(sample=0.25)

    for number in range(2_000):
        log.request(line(number))
    for number in range(2_000, 2_100):
        bad = line(number)
        bad.outcome = "failed"
        log.request(bad)
    log.flush()

    written = read(path)
    good = [entry["request_id"] for entry in written if entry["outcome"] == "ok"]
    assert 400 < len(good) < 600
    assert len(written) - len(good) == 100
    # Another proxy before or behind this one keeps the same.
    log.request(line(int(str(good[0]).removeprefix("request-"))))
    log.flush()
    assert len(read(path)) == len(written) + 1


@pytest.mark.parametrize(("sample", "lines"), [(0.0, 0), (1.0, 50)])
def test_none_and_all(configure: Configure, sample: float, lines: int) -> None:
    path = configure(sample=sample)

    for number in range(50):
        log.request(line(number))
    log.flush()

    assert len(read(path)) == lines


def test_a_day_begins_a_file(configure: Configure, hands: Hands) -> None:
    path = configure(rotate=True, keep=1)

    for number in range(3):
        log.request(line(number))
        log.flush()
        hands.advance(86_400)

    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["headrace.log", "headrace.log.2027-01-16"]


def test_a_log_is_for_its_owner_and_group(configure: Configure) -> None:
    assert configure().stat().st_mode & 0o007 == 0


def test_a_pipe_gets_json_by_itself(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log.configure(model.Logging(), writer)

    log.request(line(7))
    log.flush()

    assert orjson.loads(os.read(reader, 4096))["request_id"] == "request-7"


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_lines_for_people(
    no_colour: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    outer, inner = pty.openpty()
    try:
        log.configure(model.Logging(), inner)
        log.request(line(7))
        log.close()
        text = os.read(outer, 4096)
    finally:
        os.close(outer)
        os.close(inner)

    assert b"POST /v1/chat/completions 200" in text
    assert (b"\x1b[" in text) is coloured


async def test_a_sink_that_takes_nothing_holds_up_neither_the_loop_nor_the_memory(
    pipe: tuple[int, int],
) -> None:
    # The guard of all tests fails this one when the loop is blocked.
    reader, writer = pipe
    log.configure(model.Logging(format="json"), writer)
    before = log.dropped()

    for turn in range(100):
        for number in range(300):
            log.request(line(turn * 300 + number, model="m" * 70_000))
        await asyncio.sleep(0)

    assert log._sink is not None
    assert len(log._sink._queue) <= log.QUEUE_LINES
    lost = log.dropped() - before
    assert lost >= 30_000 - log.QUEUE_LINES - 1_000
    assert not log.flush(timeout=0.01)

    # Once somebody reads, what was kept comes out in order, and how much was lost is said.
    texts = await asyncio.to_thread(_drain, reader, 30_000 - lost + 1)
    numbers = [int(str(e["request_id"]).removeprefix("request-")) for e in texts if "status" in e]
    assert numbers == sorted(numbers)
    assert len(numbers) == 30_000 - lost
    assert [e["message"] for e in texts if "message" in e] == [
        f"{lost} lines dropped, they could not be written in time"
    ]


def _drain(reader: int, lines: int) -> list[dict[str, object]]:
    """Read until there were so many lines, and those that are whole."""
    parts: list[bytes] = []
    while lines > 0:
        parts.append(os.read(reader, 1 << 20))
        lines -= parts[-1].count(b"\n")
    whole, _, _ = b"".join(parts).rpartition(b"\n")
    return [orjson.loads(text) for text in whole.splitlines()]


def test_long_messages_are_limited_by_their_length_too(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    log.configure(model.Logging(format="json"), writer)

    record = logging.makeLogRecord({"msg": "m" * 100_000})
    assert log._handler is not None
    assert log._sink is not None

    for _ in range(3_000):
        log._handler.handle(record)

    held = sum(len(entry.message) for entry in log._sink._queue if isinstance(entry, Entry))
    assert held <= log.QUEUE_CHARACTERS
    assert log.dropped()


def test_messages_that_found_no_place_take_none_from_later_ones(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log.configure(model.Logging(format="json"), writer)
    before = log.dropped()
    for number in range(log.QUEUE_LINES):
        log.request(line(number))
    assert not log.flush(timeout=0.01)
    record = logging.makeLogRecord({"msg": "m" * QUEUED_MESSAGE})
    assert log._handler is not None

    for _ in range(2_000):
        log._handler.handle(record)

    lost = log.dropped() - before
    assert lost * QUEUED_MESSAGE > log.QUEUE_CHARACTERS
    _drain(reader, log.QUEUE_LINES + 2_000 - lost + 1)

    for _ in range(1_000):
        log._handler.handle(record)

    assert log.dropped() - before == lost
    assert len(_drain(reader, 1_000)) == 1_000


def test_a_reader_that_went_away_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    before = log.dropped()
    level = logging.getLogger().level
    log.configure(model.Logging(format="json"), writer)
    os.close(reader)

    log.request(line())
    log.close()

    assert log.dropped() == before + 1
    os.close(writer)
    logging.getLogger().setLevel(level)


def test_a_descriptor_somebody_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    before = log.dropped()
    log.configure(model.Logging(format="json"), writer)

    for number in range(200):
        log.request(line(number))
    texts = _drain(reader, 200)

    assert len(texts) == 200
    assert log.dropped() == before


def test_closing_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    log.configure(model.Logging(format="json"), writer)
    for number in range(1_000):
        log.request(line(number))

    log.close(timeout=0.05)

    assert log._sink is None


# What a process says when it ends, in each of the ways it can end.
PROGRAM = """
import os, sys
from proxy.core import log, model
from proxy.core.lines import QUEUED_MESSAGE, Entry, RequestLine
from proxy.core.redact import register
register("planted-canary-secret")
log.configure(model.Logging(format="json"))
log.request(RequestLine(
    time=1.0, request_id="r", method="GET", route="/", status=200, outcome="ok"))
"""


def run(program: str) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    return done.returncode, [orjson.loads(text) for text in done.stderr.splitlines()]


def test_a_process_that_ends_writes_its_last_lines() -> None:
    code, written = run("log.logger.info('bye')")

    assert code == 0
    assert [entry.get("message", "request") for entry in written] == ["request", "bye"]


def test_a_process_that_fails_says_so_in_the_log_without_secrets() -> None:
    code, written = run("raise RuntimeError('with planted-canary-secret')")

    assert code == 1
    assert written[-1]["message"] == "the program failed"
    assert "RuntimeError: with ***" in str(written[-1]["error"])


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            """
import threading
def broken():
    raise RuntimeError("with planted-canary-secret")
one = threading.Thread(target=broken, name="one")
one.start()
one.join()
""",
            "thread one failed",
        ),
        (
            """
class Broken:
    def __del__(self):
        raise RuntimeError("with planted-canary-secret")
Broken()
""",
            "an error nobody could catch",
        ),
    ],
)
def test_what_nobody_catches_is_in_the_log_without_secrets(program: str, message: str) -> None:
    code, written = run(program)

    assert code == 0
    assert written[-1]["message"] == message
    assert "RuntimeError: with ***" in str(written[-1]["error"])


def test_before_there_is_a_log_secrets_are_masked_too() -> None:
    code, written = run(
        """
log.close()
log.logger.info("not this")
log.logger.warning("said %s", "planted-canary-secret")
"""
    )

    assert code == 0
    assert [entry["message"] for entry in written[1:]] == ["said ***"]


def test_who_forks_writes_at_once_and_has_no_thread() -> None:
    code, written = run(
        """
import threading
log.close()
log.bare(model.Logging(format="json"))
log.logger.info("parent")
log.request(None)
if os.fork() == 0:
    log.logger.info("not this: its level is that of nobody")
    os._exit(0)
assert os.wait()[1] == 0
assert threading.active_count() == 1
raise RuntimeError("with planted-canary-secret")
"""
    )

    assert code == 1
    assert [entry.get("message", "request") for entry in written] == [
        "request",
        "parent",
        "the program failed",
    ]
    assert "RuntimeError: with ***" in str(written[-1]["error"])


def test_what_such_a_process_writes_changes_too() -> None:
    code, written = run(
        """
log.close()
log.bare(model.Logging(format="json", level="error"))
log.logger.warning("one")
log.adjust(model.Logging(format="json", level="debug"))
log.logger.debug("two")
"""
    )

    assert code == 0
    assert [entry.get("message") for entry in written] == [None, "two"]


def test_after_a_fork_the_child_has_a_log_of_its_own() -> None:
    code, written = run(
        """
log.logger.info("parent")
child = os.fork()
if child == 0:
    log.configure(model.Logging(format="json"))
    log.logger.info("child")
    log.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )

    assert code == 0
    messages = sorted(str(entry.get("message", "request")) for entry in written)
    assert messages == ["child", "parent", "request"]
