"""Where the keys of an outside identity provider come from, and how they stay fresh: a file or a URL.

Owns the address of the JWK Set and the last good copy of it. The invariants: a failing source never takes away keys
that are known (stale while error), it is asked at most every `RETRY_S` seconds whatever tokens arrive, only over https
(plain http to this machine itself), without following redirects, and never for more than `SIZE_MAX_BYTES`.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from sensorcast.auth.jwks import UnusableKeySet, VerificationKey, parse
from sensorcast.errors import ConfigurationError

SIZE_MAX_BYTES: Final = 256 * 1024
"""A hundred RSA keys with their certificates; see `jwks.KEYS_MAX`."""
RETRY_S: Final = 30.0
"""A token with an unknown key id makes us look again, but nobody may make us hammer the provider with such tokens."""
_TIMEOUT_S: Final = 10.0

_log = structlog.get_logger(__name__)


class KeySource:
    """The keys at one address. `clock_s` is monotonic. Raises `ConfigurationError` for an address that is not safe."""

    def __init__(self, address: str, *, clock_s: Callable[[], float]) -> None:
        self._address = address
        self._is_url = "://" in address
        if self._is_url:
            _check_url(address)
        self._clock_s = clock_s
        self._keys: Mapping[str, VerificationKey] = {}
        self._asked_at_s: float | None = None
        self._lock = asyncio.Lock()

    def find(self, key_id: str) -> VerificationKey | None:
        """Give the key with this id. It is nothing but a dictionary key here: no path, no URL, no query."""
        return self._keys.get(key_id)

    async def refetch(self) -> None:
        """Look again, unless that was done within `RETRY_S`. Whoever comes meanwhile waits for the same answer."""
        async with self._lock:
            now_s = self._clock_s()
            if self._asked_at_s is not None and now_s - self._asked_at_s < RETRY_S:
                return
            self._asked_at_s = now_s
            try:
                self._keys = parse(await self._load(), allow_secrets=not self._is_url)
            except (OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnusableKeySet) as exc:
                _log.warning("keys_not_fetched", setting="jwt_jwks", reason=str(exc) or type(exc).__name__)

    async def _load(self) -> bytes:
        if self._is_url:
            return await _fetch(self._address)
        return await asyncio.to_thread(_read, Path(self._address))


def _check_url(address: str) -> None:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise ConfigurationError("jwt_jwks is not a URL") from None
    if not host or parts.scheme not in {"https", "http"}:
        raise ConfigurationError("jwt_jwks must be the path of a file or an https URL")
    if parts.username or parts.password:
        raise ConfigurationError("jwt_jwks must not hold a user name or password")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError("jwt_jwks must be an https URL; http only reaches this machine itself")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(SIZE_MAX_BYTES + 1)
    if len(body) > SIZE_MAX_BYTES:
        raise _too_large()
    return body


async def _fetch(url: str) -> bytes:
    # Taken as it comes: a compressed answer could inflate to any size before it is counted.
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    # A proxy of the environment may carry https; plain http through one would leave this machine.
    with_proxy = urlsplit(url).scheme == "https"
    body = bytearray()
    async with (
        asyncio.timeout(_TIMEOUT_S),
        httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT_S, trust_env=with_proxy) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code != 200 or response.headers.get("content-encoding", "identity") != "identity":
            raise UnusableKeySet(f"the provider answered {response.status_code}, or with a compressed body")
        async for part in response.aiter_raw():
            body += part
            if len(body) > SIZE_MAX_BYTES:
                raise _too_large()
    return bytes(body)


def _too_large() -> UnusableKeySet:
    return UnusableKeySet(f"the JWK Set has more than {SIZE_MAX_BYTES} bytes")
