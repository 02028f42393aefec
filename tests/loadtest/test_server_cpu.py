"""Finding a local server's process, and what it has used."""

from __future__ import annotations

import os
import socket

import pytest

from sensorcast.loadtest.server_cpu import cpu_s, process_listening
from tests.support.server import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_process_that_listens_is_found(host: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert process_listening(host, listener.getsockname()[1]) == os.getpid()


def test_nobody_is_found_where_nobody_listens_or_elsewhere() -> None:
    assert process_listening("127.0.0.1", free_port()) is None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert process_listening("192.0.2.1", listener.getsockname()[1]) is None


def test_processor_time_grows_and_is_unknown_for_a_process_that_is_gone() -> None:
    before = cpu_s(os.getpid())
    assert before is not None
    sum(number * number for number in range(3_000_000))
    assert (cpu_s(os.getpid()) or 0) > before
    assert cpu_s(2**22 + 1) is None
