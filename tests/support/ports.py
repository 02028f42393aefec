"""TCP ports for servers that tests start, and start again, on an address they must know beforehand."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_given: Final[set[int]] = set()


def free_port() -> int:
    """Find a TCP port of the loopback interface that nobody listens on; a process is given each one once.

    Below those that the kernel gives to outgoing connections: else one of the many that tests open could be given the
    port between the choice and the start, or while a server is down that is to come back.
    """
    first_of_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(_LOWEST, max(first_of_kernel, _LOWEST + 1_000))
        if port not in _given and _can_be_bound(port):
            _given.add(port)
            return port


def _can_be_bound(port: int) -> bool:
    with suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False
