"""Addresses of peers: which count as one, and whom a proxy in front of us speaks for.

Owns no state but two bounded caches. The invariants: IPv6 counts by /64, the least that one customer is given; what a
peer says about whom it speaks for is believed only from `trusted_proxies`, and only as far as they reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from sensorcast.errors import ConfigurationError

_CACHED: Final = 4_096
"""Addresses whose parsed form is remembered, in each of two caches (about 1 MiB): parsing one costs 5 us."""


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if parsed.version == 6 else parsed


@lru_cache(maxsize=_CACHED)
def network_of(address: str) -> str:
    """Give what an address counts as: itself, the IPv4 address in it, or its IPv6 /64."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(parsed) if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


class Proxies:
    """The peers whose `X-Forwarded-For` is believed: addresses and networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises `ConfigurationError` for what is no address or network."""
        self._networks: list[IPv4Network | IPv6Network] = [_network(each) for each in networks]
        self.trusts = lru_cache(maxsize=_CACHED)(self._trusts)
        """Tell whether an address is one of them; an address that is none never is."""

    def _trusts(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, forwarded_for: str) -> str:
        """Give who asks: `peer`, or the last one before our proxies in what they wrote down."""
        hops = forwarded_for.split(",") if forwarded_for else []
        while hops and self.trusts(peer):
            peer = _without_port(hops.pop().strip())
        return peer


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as exc:
        raise ConfigurationError(
            f"--trusted-proxies (SENSORCAST_TRUSTED_PROXIES) must be addresses and networks, comma-separated: {exc}"
        ) from None


def _without_port(hop: str) -> str:
    """Take the port off `1.2.3.4:5` and `[::1]:5`, as some proxies write them."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
