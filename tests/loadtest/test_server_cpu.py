"""Finding a local server's process, and what it has used."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from sensorcast.loadtest.server_cpu import ServerCpu, cpu_s, processes_listening
from tests.support.server import ServerProcess, free_port
from tests.support.workers import wait_for_workers, worker_pids


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_process_that_listens_is_found(host: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert processes_listening(host, listener.getsockname()[1]) == [os.getpid()]


def test_nobody_is_found_where_nobody_listens_or_elsewhere() -> None:
    assert processes_listening("127.0.0.1", free_port()) == []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert processes_listening("192.0.2.1", listener.getsockname()[1]) == []


def test_processor_time_grows_and_is_unknown_for_a_process_that_is_gone() -> None:
    before = cpu_s(os.getpid())
    assert before is not None
    sum(number * number for number in range(3_000_000))
    assert (cpu_s(os.getpid()) or 0) > before
    assert cpu_s(2**22 + 1) is None


def test_all_workers_of_a_server_are_found_and_their_use_is_added_up(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(workers=3)
    wait_for_workers(server, 3)
    pids = worker_pids(server)
    assert sorted(processes_listening("127.0.0.1", server.port)) == sorted(pids)
    cpu = ServerCpu("127.0.0.1", server.port)
    before_s = {pid: cpu_s(pid) or 0.0 for pid in pids}
    for _ in range(300):
        server.http.get("/metrics")  # asks every worker
    each_s = [(cpu_s(pid) or 0.0) - before_s[pid] for pid in pids]
    used_s = cpu.used_s()
    assert used_s is not None
    assert used_s >= sum(each_s) > max(each_s)


def test_the_use_of_a_server_that_is_gone_or_elsewhere_is_unknown() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        cpu = ServerCpu("127.0.0.1", listener.getsockname()[1])
        assert cpu.used_s() is not None
    assert cpu.used_s() is None
    assert ServerCpu("192.0.2.1", 80).used_s() is None
