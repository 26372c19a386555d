"""Reading the machine: process trees, their CPU time, the cores to pin to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from time import process_time_ns

from bench import machine


def test_cpu_time_is_what_the_process_itself_reads() -> None:
    before, itself = machine.cpu_ns([os.getpid()]), process_time_ns()
    sum(range(200_000))
    used, by_itself = machine.cpu_ns([os.getpid()]) - before, process_time_ns() - itself

    assert used > 0
    assert abs(used - by_itself) <= by_itself


def test_a_process_that_is_gone_has_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert machine.cpu_ns([process.pid]) == 0
    assert machine.memory_kb([process.pid]) == 0


def test_threads_may_end_while_their_wakes_are_counted() -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            one = threading.Thread(target=lambda: None)
            one.start()
            one.join()

    busy = [threading.Thread(target=come_and_go) for _ in range(3)]
    for one in busy:
        one.start()
    try:
        counted = [machine.wakes([os.getpid()]) for _ in range(200)]
    finally:
        over.set()
        for one in busy:
            one.join()
    assert min(counted) > 0


def test_the_tree_of_a_process_has_its_children() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        found = machine.tree(os.getpid())
        child.communicate()

    assert found[0] == os.getpid()
    assert child.pid in found


def test_memory_is_read_in_kilobytes() -> None:
    assert 1_000 < machine.memory_kb([os.getpid()]) < 10_000_000


def test_the_measured_core_is_nobody_elses() -> None:
    cores = machine.share_out_cores()

    assert not cores.measured & (cores.load | cores.simulator)
    assert cores.measured | cores.load | cores.simulator <= os.sched_getaffinity(0)


def test_facts_name_the_machine() -> None:
    facts = machine.facts()

    assert facts["kernel"].startswith("Linux")
    assert all(facts.values())
