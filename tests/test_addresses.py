"""Which addresses count as one, and whose word about whom they speak for is taken."""

from __future__ import annotations

import pytest

from sensorcast.addresses import Proxies, network_of
from sensorcast.errors import ConfigurationError


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_ipv6_counts_by_64_and_ipv4_by_itself(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "unknown"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("192.0.2.7", "10.0.0.1", "192.0.2.7"),
        ("", "192.0.2.7", ""),
    ],
)
def test_only_proxies_are_believed_and_only_as_far_as_they_reach(peer: str, forwarded_for: str, client: str) -> None:
    assert Proxies(["10.0.0.0/8"]).client(peer, forwarded_for) == client


def test_nobody_is_trusted_without_proxies() -> None:
    assert not Proxies([]).trusts("127.0.0.1")


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.1/8", "*", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SENSORCAST_TRUSTED_PROXIES"):
        Proxies(["::1", text])
