"""Keys of devices and programs: made, checked, remembered for a while, and the times of their use noted in batches.

Owns the text of a key, `scast_<key id>_<secret>_<checksum>`, and the memory of those that hold. The invariants: the
text is in no store; a key that was used lately costs one hash and no query, and no request costs a write; an unknown
one reaches the store only while its address has not presented too many.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from sensorcast.auth.attempts import Attempts
from sensorcast.errors import ConfigurationError, Unauthenticated
from sensorcast.model import ApiKey, Scope, is_valid_id

KEY_PREFIX: Final = "scast_"
_KEY_TEXT: Final = re.compile(r"scast_([0-9a-f]{16})_([0-9a-f]{40})_([0-9a-f]{8})\Z")
_CACHED_KEYS_MAX: Final = 10_000
"""API keys remembered, known or unknown (about 8 MiB); the longest unused one leaves first."""

_NO_SECRET_SHA256: Final = hashlib.sha256(b"").hexdigest()
_KEY_HINT: Final = "Make one with `sensorcast keys create --org ORG`."

Find = Callable[[str], Awaitable[ApiKey | None]]


def new_api_key(
    organization_id: str,
    name: str,
    now_us: int,
    *,
    scopes: Iterable[Scope] = (Scope.INGEST,),
    expires_at_us: int | None = None,
) -> tuple[ApiKey, str]:
    """Make an API key; give its record, to be stored, and its text, to be shown once and kept nowhere.

    The text ends with a checksum, so that a mistyped key is refused without a look into the store.
    """
    if not is_valid_id(organization_id):
        raise ConfigurationError("an organization id must be 1-128 characters of A-Z a-z 0-9 _ . : -")
    key_id, secret = secrets.token_hex(8), secrets.token_hex(20)
    record = ApiKey(
        key_id=key_id,
        organization_id=organization_id,
        name=name,
        secret_sha256=_sha256(secret),
        created_at_us=now_us,
        scopes=frozenset(scopes),
        expires_at_us=expires_at_us,
    )
    return record, f"{KEY_PREFIX}{key_id}_{secret}_{_checksum(key_id, secret)}"


class KeyRing:
    """Checks API keys against the store, remembering each answer for `cache_s` seconds of the monotonic `clock_s`.

    `now_s` gives seconds since 1970, by which keys end.
    """

    def __init__(
        self,
        find: Find,
        cache_s: float,
        clock_s: Callable[[], float],
        *,
        attempts: Attempts | None = None,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._find = find
        self._cache_s = cache_s
        self._clock_s = clock_s
        self._attempts = attempts
        self._now_s = now_s or clock_s
        self._cache: dict[str, tuple[float, ApiKey | None]] = {}
        self._used: dict[str, int] = {}
        self._forgotten = 0
        """How often something was to be forgotten: what the store said before that may be about to arrive."""

    async def identify(self, text: str, *, address: str = "") -> ApiKey:
        """Give the live key with this text, presented from `address`.

        Raises `Unauthenticated`, `QuotaExceeded` when too much from there was wrong, or `Unavailable` when the store
        cannot answer.
        """
        recognized = self.recognize(text)
        if recognized is not None:
            # What is known to be good goes on being served, however much its neighbours behind one address try.
            return recognized
        self._check_attempts(address)
        parts = _parts(text)
        if parts is None:
            raise self._refusal(address, "X-API-Key is not a key of this server")
        key_id, secret = parts
        found = await self._look_up(key_id)
        now_us = int(self._now_s() * 1_000_000)
        if not _matches(found, secret) or found is None or not _is_live(found, now_us):
            raise self._refusal(address, "X-API-Key is unknown, revoked or expired")
        self._used[key_id] = now_us
        return found

    def recognize(self, text: str) -> ApiKey | None:
        """Give the live key with this text when it is remembered. None says nothing: ask `identify`."""
        parts = _parts(text)
        if parts is None:
            return None
        key_id, secret = parts
        kept = self._remembered(key_id)
        if kept is None or not _matches(kept, secret):
            return None
        now_us = int(self._now_s() * 1_000_000)
        if not _is_live(kept, now_us):
            return None
        self._used[key_id] = now_us
        return kept

    def is_still_good(self, key: ApiKey) -> bool:
        """Whether a key once recognized is remembered unchanged and lives; its text need not be proved anew."""
        now_us = int(self._now_s() * 1_000_000)
        if self._remembered(key.key_id) is not key or not _is_live(key, now_us):
            return False
        self._used[key.key_id] = now_us
        return True

    def forget(self, key_ids: Iterable[str]) -> None:
        """Ask the store anew about these keys: something about them has changed."""
        self._forgotten += 1
        for key_id in key_ids:
            self._cache.pop(key_id, None)

    def forget_organization(self, organization_id: str) -> None:
        """Ask the store anew about all keys of an organization."""
        self.forget([key_id for key_id, (_, key) in self._cache.items() if key and _owns(organization_id, key)])

    def take_uses(self) -> Mapping[str, int]:
        """Give the moment of the last use of each key used since the last call, in microseconds since 1970."""
        uses, self._used = self._used, {}
        return uses

    def _remembered(self, key_id: str) -> ApiKey | None:
        until_s, key = self._cache.get(key_id, (0.0, None))
        return key if self._clock_s() < until_s else None

    async def _look_up(self, key_id: str) -> ApiKey | None:
        now_s = self._clock_s()
        kept = self._cache.get(key_id)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        forgotten = self._forgotten
        key = await self._find(key_id)
        if self._forgotten != forgotten:
            return key
        self._cache.pop(key_id, None)
        self._cache[key_id] = (now_s + self._cache_s, key)
        if len(self._cache) > _CACHED_KEYS_MAX:
            del self._cache[next(iter(self._cache))]
        return key

    def _check_attempts(self, address: str) -> None:
        if self._attempts is not None:
            self._attempts.check(address)

    def _refusal(self, address: str, message: str) -> Unauthenticated:
        if self._attempts is not None:
            self._attempts.failed(address)
        return Unauthenticated(message, hint=_KEY_HINT)


def _parts(text: str) -> tuple[str, str] | None:
    """Give the id and the secret in a key's text; None when it cannot be one."""
    match = _KEY_TEXT.match(text)
    if match is None:
        return None
    key_id, secret, checksum = match.groups()
    return (key_id, secret) if _checksum(key_id, secret) == checksum else None


def _owns(organization_id: str, key: ApiKey) -> bool:
    return key.organization_id == organization_id


def _is_live(key: ApiKey, now_us: int) -> bool:
    return key.revoked_at_us is None and (key.expires_at_us is None or now_us < key.expires_at_us)


def _matches(key: ApiKey | None, secret: str) -> bool:
    """Compare in constant time; an unknown key costs the same, so that time does not tell which ids exist."""
    kept = key.secret_sha256 if key is not None else _NO_SECRET_SHA256
    return hmac.compare_digest(kept, _sha256(secret)) and key is not None


def _sha256(secret: str) -> str:
    """Hash a key's secret. It has 160 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(key_id: str, secret: str) -> str:
    return f"{zlib.crc32(f'{key_id}_{secret}'.encode()):08x}"
