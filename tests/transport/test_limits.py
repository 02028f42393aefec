"""Limits: the settings table as the transport sees it."""

from __future__ import annotations

import resource

import pytest

from sensorcast.settings import Settings
from sensorcast.transport.limits import DESCRIPTOR_SHARE, Limits

SETTINGS = Settings(
    ping_interval_ms=1_000,
    ping_timeout_ms=2_000,
    connect_timeout_ms=3_000,
    upgrade_timeout_ms=4_000,
    max_payload_bytes=5_000,
    json_max_depth=6,
    attachments_max=7,
    client_events_per_s=8.0,
    client_events_burst=9,
    rooms_per_socket=10,
    outbound_soft_bytes=11_000,
    outbound_hard_bytes=12_000,
    outbound_stall_s=13.0,
    connections_max=14,
    handshakes_per_s=15.0,
    allowed_origins=" https://a.test, https://b.test ,,",
    permessage_deflate=True,
)


def test_defaults_are_those_of_the_settings_table() -> None:
    assert Limits.from_settings(Settings()) == Limits()


def test_every_limit_of_the_settings_reaches_the_transport_in_its_unit() -> None:
    limits = Limits.from_settings(SETTINGS)
    timing = limits.timing
    assert (timing.ping_interval_s, timing.ping_timeout_s) == (1.0, 2.0)
    assert (timing.connect_timeout_s, timing.upgrade_timeout_s, timing.max_payload_bytes) == (3.0, 4.0, 5_000)
    assert limits.decode == (6, 7)
    assert (limits.events_per_s, limits.events_burst, limits.rooms_per_socket) == (8.0, 9, 10)
    assert (limits.outbound_soft_bytes, limits.outbound_hard_bytes, limits.outbound_stall_s) == (11_000, 12_000, 13.0)
    assert (limits.connections_max, limits.handshakes_per_s) == (14, 15.0)
    assert limits.permessage_deflate


def test_origins_are_a_list_with_commas() -> None:
    assert Limits.from_settings(SETTINGS).allowed_origins == ("https://a.test", "https://b.test")


@pytest.mark.parametrize(
    ("descriptors", "ceiling"), [(1_000, int(1_000 * DESCRIPTOR_SHARE)), (1_000_000, 20_000), (-1, 20_000)]
)
def test_connections_leave_file_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, ceiling: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (descriptors, descriptors))
    assert Limits().connection_ceiling() == ceiling
