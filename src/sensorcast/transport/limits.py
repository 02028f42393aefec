"""The limits of one endpoint as a frozen value, so that the Socket.IO layer can be used without our settings table.

Owns no state. Each field is a row of `settings`, and `from_settings` is the only place that knows both.
"""

from __future__ import annotations

import resource
import sys
from typing import Final

import msgspec

from sensorcast.settings import Settings
from sensorcast.wire.engineio import Timing
from sensorcast.wire.socketio import DecodeLimits

DESCRIPTOR_SHARE: Final = 0.8
"""Share of the file-descriptor limit that connections may take; the rest is for the store, logs and new requests."""
SOCKET_SHARE: Final = 0.9
"""Share that all TCP connections together may take, those too that are no session (yet)."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an endpoint bounds. Defaults are those of the settings table."""

    timing: Timing = Timing()
    decode: DecodeLimits = DecodeLimits()
    payload_max_packets: int = 1_000
    """Packets in one polling body: 100 kB of the shortest useful packets."""
    message_max_fragments: int = 1_024
    """Fragments of one WebSocket message: no stock client sends more than a few."""
    events_per_s: float = 20.0
    events_burst: int = 50
    rooms_per_socket: int = 128
    outbound_soft_bytes: int = 256 * 1024
    outbound_hard_bytes: int = 1024 * 1024
    outbound_stall_s: float = 10.0
    outbound_total_max_bytes: int = 256 * 1024 * 1024
    connections_max: int = 20_000
    handshakes_per_s: float = 300.0
    allowed_origins: tuple[str, ...] = ()
    permessage_deflate: bool = False
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Take the limits of an endpoint from the settings table."""
        return cls(
            timing=Timing(
                ping_interval_s=settings.ping_interval_ms / 1_000,
                ping_timeout_s=settings.ping_timeout_ms / 1_000,
                connect_timeout_s=settings.connect_timeout_ms / 1_000,
                upgrade_timeout_s=settings.upgrade_timeout_ms / 1_000,
                max_payload_bytes=settings.max_payload_bytes,
            ),
            decode=DecodeLimits(settings.json_max_depth, settings.attachments_max),
            events_per_s=settings.client_events_per_s,
            events_burst=settings.client_events_burst,
            rooms_per_socket=settings.rooms_per_socket,
            outbound_soft_bytes=settings.outbound_soft_bytes,
            outbound_hard_bytes=settings.outbound_hard_bytes,
            outbound_stall_s=settings.outbound_stall_s,
            outbound_total_max_bytes=settings.outbound_total_max_bytes,
            connections_max=settings.connections_max,
            handshakes_per_s=settings.handshakes_per_s,
            allowed_origins=_parts(settings.allowed_origins),
            permessage_deflate=settings.permessage_deflate,
            trusted_proxies=trusted_proxies(settings),
        )

    def connection_ceiling(self) -> int:
        """Connections this process takes: the setting, or the share of its file descriptors when that is less."""
        return min(self.connections_max, descriptor_share(DESCRIPTOR_SHARE))


def descriptor_share(share: float) -> int:
    """That share of the file descriptors of this process; without a limit of them, more than there can be."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else int(soft * share)


def trusted_proxies(settings: Settings) -> tuple[str, ...]:
    """The addresses and networks of that setting."""
    return _parts(settings.trusted_proxies)


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(part for part in map(str.strip, listed.split(",")) if part)
