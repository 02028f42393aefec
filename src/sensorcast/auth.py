"""Who may do what: tokens of people (JWT), keys of devices and gateways (API keys), and the secret behind the tokens.

Owns every credential check; callers are the doors. The invariant: an `Identity` or `ApiKey` given out by this module
was proven, for exactly one organization, and neither a message nor a log line ever holds a credential.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from jwt import PyJWS
from jwt.exceptions import PyJWTError
from msgspec import Meta

from sensorcast.errors import ConfigurationError, Forbidden, TokenExpired, Unauthenticated
from sensorcast.model import ApiKey, Identity, Role, is_valid_id
from sensorcast.settings import Settings

_ALGORITHM: Final = "HS256"
_SECRET_MIN_BYTES: Final = 32
"""HS256 is as strong as its key up to 32 bytes; a shorter one could be found by trying."""

_SECRET_FILE: Final = "jwt-secret"  # noqa: S105 a name, not a secret
_KEY_TEXT: Final = re.compile(r"scast_([0-9a-f]{16})_([0-9a-f]{40})_([0-9a-f]{8})\Z")
_CACHED_KEYS_MAX: Final = 10_000
"""API keys remembered, known or unknown (about 8 MiB); the longest unused one leaves first."""

_NO_SECRET_SHA256: Final = hashlib.sha256(b"").hexdigest()


class _Claims(msgspec.Struct):
    """The claims we read. Types are strict: `"exp": "1700000000"` is refused."""

    sub: Annotated[str, Meta(min_length=1, max_length=256)]
    org: str | list[str]
    role: Role
    exp: int | float
    nbf: int | float | None = None
    iss: str | None = None
    aud: str | list[str] | None = None


class TokenVerifier:
    """Checks tokens signed with the one secret and the one algorithm of this server."""

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self._settings = settings
        self._secret = _checked_secret(secret, "the secret of tokens")
        self._signatures = PyJWS(algorithms=[_ALGORITHM])
        self._claims = msgspec.json.Decoder(_Claims)

    def verify(self, token: str, *, now_s: float, organization_id: str | None = None) -> Identity:
        """Give who a token proves, in the one organization it acts for.

        A token for several organizations needs `organization_id` to pick one. Raises `TokenExpired`,
        `Unauthenticated` (the token does not hold) or `Forbidden` (it holds, but not for that organization).
        """
        claims = self._read(token)
        leeway_s = self._settings.jwt_leeway_s
        if not math.isfinite(claims.exp) or claims.exp + leeway_s <= now_s:
            raise TokenExpired("the token has expired", hint="Get a new one and send it.")
        if claims.nbf is not None and claims.nbf - leeway_s > now_s:
            raise Unauthenticated("the token is not valid yet")
        self._check_parties(claims)
        organization = _pick(claims.org, organization_id)
        return Identity(
            organization_id=organization, subject=claims.sub, role=claims.role, expires_at_s=float(claims.exp)
        )

    def _read(self, token: str) -> _Claims:
        """Check size, form and signature, in this order, and give the claims."""
        limit = self._settings.jwt_max_bytes
        if len(token) > limit:
            raise Unauthenticated(f"the token is longer than {limit} bytes (setting jwt_max_bytes)")
        try:
            payload = self._signatures.decode(token, self._secret, algorithms=[_ALGORITHM])
            return self._claims.decode(payload)
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            # msgspec names the claim that is wrong; what PyJWT says may quote the header, so it is not passed on.
            detail = f": {exc}" if isinstance(exc, msgspec.ValidationError) else ""
            raise Unauthenticated(f"the token does not hold{detail}") from None

    def _check_parties(self, claims: _Claims) -> None:
        settings = self._settings
        if settings.jwt_issuer and claims.iss != settings.jwt_issuer:
            raise Unauthenticated("the token is from another issuer (setting jwt_issuer)")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if settings.jwt_audience and settings.jwt_audience not in audiences:
            raise Unauthenticated("the token is for another audience (setting jwt_audience)")


def _pick(claimed: str | list[str], wanted: str | None) -> str:
    """Choose the organization a token acts for."""
    organizations = [claimed] if isinstance(claimed, str) else list(dict.fromkeys(claimed))
    if not organizations or not all(map(is_valid_id, organizations)):
        raise Unauthenticated("the token does not hold: `org` must be organization ids of 1-128 A-Z a-z 0-9 _ . : -")
    if wanted is None:
        if len(organizations) > 1:
            raise Forbidden("the token is for several organizations", hint="Pick one with organizationId.")
        return organizations[0]
    if wanted not in organizations:
        raise Forbidden("the token is not for this organization")
    return wanted


def mint_token(secret: bytes, *, organization_id: str, role: Role, subject: str, ttl_s: float, now_s: float) -> str:
    """Make a token that `TokenVerifier` accepts for `ttl_s` seconds from `now_s`."""
    claims = {"sub": subject, "org": organization_id, "role": role, "iat": int(now_s), "exp": int(now_s + ttl_s)}
    return PyJWS(algorithms=[_ALGORITHM]).encode(msgspec.json.encode(claims), secret, algorithm=_ALGORITHM)


def load_or_create_secret(settings: Settings) -> bytes:
    """Give the secret of tokens: the configured one, or the one kept in the data folder, made on first use.

    Raises `ConfigurationError` for a secret that is too short or a file that cannot be used.
    """
    if settings.jwt_secret:
        return _checked_secret(settings.jwt_secret.encode(), "jwt_secret (SENSORCAST_JWT_SECRET)")
    path = Path(settings.data) / _SECRET_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create_secret(path)
        path.chmod(0o600)
        return _checked_secret(path.read_bytes().strip(), str(path))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be used: {exc.strerror}", hint="Check the setting `data`.") from exc


def _create_secret(path: Path) -> None:
    """Write a new secret under another name first: whoever comes second of two processes finds a whole file."""
    draft = path.with_name(f".{_SECRET_FILE}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(secrets.token_hex(_SECRET_MIN_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # the other process was first; its secret is the one
    finally:
        draft.unlink()


def _checked_secret(secret: bytes, name: str) -> bytes:
    if len(secret) < _SECRET_MIN_BYTES:
        raise ConfigurationError(f"{name} must be at least {_SECRET_MIN_BYTES} bytes, not {len(secret)}")
    return secret


def new_api_key(organization_id: str, name: str, now_us: int) -> tuple[ApiKey, str]:
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
    )
    return record, f"scast_{key_id}_{secret}_{_checksum(key_id, secret)}"


class KeyRing:
    """Checks API keys against the store, remembering each answer for `cache_s` seconds."""

    def __init__(
        self, find: Callable[[str], Awaitable[ApiKey | None]], cache_s: float, clock: Callable[[], float]
    ) -> None:
        self._find = find
        self._cache_s = cache_s
        self._clock = clock
        self._cache: dict[str, tuple[float, ApiKey | None]] = {}

    async def identify(self, text: str) -> ApiKey:
        """Give the live key with this text. Raises `Unauthenticated`, or `Unavailable` when the store cannot answer."""
        parts = _KEY_TEXT.match(text)
        if parts is None or _checksum(parts[1], parts[2]) != parts[3]:
            raise Unauthenticated("X-API-Key is not a key of this server", hint=_KEY_HINT)
        key = await self._look_up(parts[1])
        # An unknown key costs the same comparison, so that time does not tell which ids exist.
        kept = key.secret_sha256 if key is not None else _NO_SECRET_SHA256
        if not hmac.compare_digest(kept, _sha256(parts[2])) or key is None or key.revoked_at_us is not None:
            raise Unauthenticated("X-API-Key is unknown or revoked", hint=_KEY_HINT)
        return key

    async def _look_up(self, key_id: str) -> ApiKey | None:
        now_s = self._clock()
        kept = self._cache.get(key_id)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        key = await self._find(key_id)
        self._cache.pop(key_id, None)
        self._cache[key_id] = (now_s + self._cache_s, key)
        if len(self._cache) > _CACHED_KEYS_MAX:
            del self._cache[next(iter(self._cache))]
        return key


_KEY_HINT: Final = "Make one with `sensorcast keys create --org ORG`."


def _sha256(secret: str) -> str:
    """Hash a key's secret. It has 160 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(key_id: str, secret: str) -> str:
    return f"{zlib.crc32(f'{key_id}_{secret}'.encode()):08x}"
