"""The open TCP connections of this process by address, and the caps that hold before a byte of them is read.

Owns the counts. Each connection is counted from its accept to its end, whichever protocol has it: the doorkeeper asks
`arrive` and hands the `Network` on with the socket. The invariants: a refusal allocates nothing that stays; memory is
one entry for each network with open connections, so the caps bound it too; the connections of trusted proxies are
counted, but not capped by address, because they are many clients.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

import structlog

from sensorcast.addresses import Proxies, network_of
from sensorcast.http_errors import ANSWER_LINES
from sensorcast.metrics import CONNECTIONS_REFUSED
from sensorcast.settings import Settings
from sensorcast.transport.limits import SOCKET_SHARE, descriptor_share, trusted_proxies

_RETRY_AFTER_S: Final = 5
_LOGGED_S: Final = 60.0
"""A flood is one line a minute in the log; the metric counts it."""

_log = structlog.get_logger(__name__)


class Network:
    """One address, or one IPv6 /64, and how many connections it has open."""

    __slots__ = ("_census", "_name", "open")

    def __init__(self, census: Census, name: str) -> None:
        self._census = census
        self._name = name
        self.open = 0

    def upgraded(self) -> None:
        """A connection of it that spoke HTTP is a WebSocket from now on."""
        self._census.http -= 1

    def left_http(self) -> None:
        """A connection that was no WebSocket has ended."""
        self._census.http -= 1
        self.left()

    def left(self) -> None:
        """A WebSocket has ended."""
        self._census.open -= 1
        self.open -= 1
        if not self.open:
            self._census.networks.pop(self._name, None)


class Census:
    """Counts connections, and refuses those beyond the caps."""

    def __init__(self, settings: Settings) -> None:
        self.open = 0
        self.http = 0
        """Those that are no WebSocket: they speak HTTP, or have not said anything yet."""
        self.networks: dict[str, Network] = {}
        self._open_max = descriptor_share(SOCKET_SHARE)
        self._http_max = settings.http_connections_max
        self._each_max = settings.connections_per_address
        self._proxies = Proxies(trusted_proxies(settings))
        self._logged_at_s = -math.inf

    def arrive(self, transport: asyncio.Transport, now_s: float) -> Network | None:
        """Count a new connection; one too many is answered, closed, and None. `now_s` is monotonic."""
        address = peer_address(transport)
        name = network_of(address)
        network = self.networks.get(name)
        if self.open >= self._open_max:
            self._refuse(transport, "descriptors", "the limit of file descriptors", now_s)
        elif self.http >= self._http_max:
            self._refuse(transport, "http", "setting http_connections_max", now_s)
        elif network is not None and network.open >= self._each_max and not self._is_many(address):
            self._refuse(transport, "address", "settings connections_per_address, trusted_proxies", now_s)
        else:
            if network is None:
                network = self.networks[name] = Network(self, name)
            network.open += 1
            self.open += 1
            self.http += 1
            return network
        return None

    def _is_many(self, address: str) -> bool:
        """Whether connections from there may be of many clients: those of a proxy, or of this machine's own sockets."""
        return not address or self._proxies.trusts(address)

    def _refuse(self, transport: asyncio.Transport, cap: str, limit: str, now_s: float) -> None:
        CONNECTIONS_REFUSED.labels(cap).inc()
        if now_s - self._logged_at_s >= _LOGGED_S:
            self._logged_at_s = now_s
            _log.warning("connection_refused", cap=cap, limit=limit, address=peer_address(transport))
        status = "429 Too Many Requests" if cap == "address" else "503 Service Unavailable"
        body = f"Too many connections ({limit})\n"
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: {_RETRY_AFTER_S}\r\n"
        rest = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        transport.write(head.encode() + ANSWER_LINES + rest.encode())
        transport.close()


def peer_address(transport: asyncio.Transport) -> str:
    """Give the peer's address; empty when it is gone already, or has none."""
    try:
        peer = transport.get_extra_info("peername")
    except OSError:
        return ""
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
