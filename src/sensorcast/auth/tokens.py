"""Tokens of people (JWT): checked with the one algorithm of the key that signed them, and made for the command line.

Owns the claims. The invariants: a token's header only picks a key by its id, never an algorithm; what is signed by
nobody we know is never read; no message holds a token. `PyJWT` is used here and in `jwks` only.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError
from msgspec import Meta

from sensorcast.auth.jwks import ALGORITHMS, VerificationKey
from sensorcast.auth.secret import checked_secret
from sensorcast.errors import ConfigurationError, Forbidden, TokenExpired, Unauthenticated
from sensorcast.model import Identity, Role, is_valid_id
from sensorcast.settings import Settings

_ALGORITHM: Final = "HS256"


class _VettedHmac(HMACAlgorithm):
    """HMAC with keys that were vetted when they came in, instead of again with each token: a fifth of its cost."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key


def _signatures() -> PyJWS:
    signatures = PyJWS(algorithms=[name for name in ALGORITHMS.values() if name != _ALGORITHM])
    signatures.register_algorithm(_ALGORITHM, _VettedHmac(HMACAlgorithm.SHA256))
    return signatures


_SIGNATURES: Final = _signatures()


class UnknownSigningKey(Unauthenticated):
    """The token names a key that is not known (yet): look for it, then try once more."""


class OtherOrganization(Forbidden):
    """The credential holds, but not for the organization asked about; doors may have to hide that."""


def _no_other_keys(_: str) -> None:
    return None


class _Claims(msgspec.Struct):
    """The claims we read. Types are strict: `"exp": "1700000000"` is refused, and so is a number beyond a float."""

    sub: Annotated[str, Meta(min_length=1, max_length=256)]
    org: str | list[str]
    role: Role
    exp: float
    nbf: float | None = None
    iat: float | None = None
    jti: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    iss: str | None = None
    aud: str | list[str] | None = None


class _Header(msgspec.Struct):
    """The one field of a header that we read ourselves; everything else in it is PyJWT's to judge."""

    kid: str | None = None


_HEADER: Final = msgspec.json.Decoder(_Header)


class TokenVerifier:
    """Checks tokens: those without a `kid` with the secret of this server, others with the key of that id."""

    def __init__(
        self,
        settings: Settings,
        secret: bytes,
        find_key: Callable[[str], VerificationKey | None] = _no_other_keys,
    ) -> None:
        self._settings = settings
        self._own_key = VerificationKey(_ALGORITHM, _vetted(checked_secret(secret, "the secret of tokens")))
        self._find_key = find_key
        self._claims = msgspec.json.Decoder(_Claims)

    def verify(self, token: str, *, now_s: float, organization_id: str | None = None) -> Identity:
        """Give who a token proves, in the one organization it acts for.

        A token for several organizations needs `organization_id` to pick one. Raises `TokenExpired`,
        `Unauthenticated` (the token does not hold; `UnknownSigningKey` when its key may appear later) or `Forbidden`
        (it holds, but not for that organization).
        """
        claims = self._read(token)
        leeway_s = self._settings.jwt_leeway_s
        if claims.exp + leeway_s <= now_s:
            raise TokenExpired("the token has expired", hint="Get a new one and send it.")
        if claims.nbf is not None and claims.nbf - leeway_s > now_s:
            raise Unauthenticated("the token is not valid yet")
        if claims.iat is not None and claims.iat - leeway_s > now_s:
            raise Unauthenticated("the token was issued in the future: the clocks differ (setting jwt_leeway_s)")
        self._check_parties(claims)
        return Identity(
            organization_id=_pick(claims.org, organization_id),
            subject=claims.sub,
            role=claims.role,
            expires_at_s=claims.exp,
            token_id=claims.jti,
            issued_at_s=self._earliest_issue_s(token, claims),
        )

    def _read(self, token: str) -> _Claims:
        """Check size, form and signature, in this order, and give the claims."""
        limit = self._settings.jwt_max_bytes
        if len(token) > limit:
            raise Unauthenticated(f"the token is longer than {limit} bytes (setting jwt_max_bytes)")
        try:
            key = self._key_of(token)
            payload = _SIGNATURES.decode(token, key.key, algorithms=[key.algorithm])
            return self._claims.decode(payload)
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            # msgspec names the claim that is wrong; what PyJWT says may quote the header, so it is not passed on.
            detail = f": {exc}" if isinstance(exc, msgspec.ValidationError) else ""
            raise Unauthenticated(f"the token does not hold{detail}") from None

    def _key_of(self, token: str) -> VerificationKey:
        key_id = _key_id(token)
        if key_id is None:
            return self._own_key
        key = self._find_key(key_id)
        if key is None:
            raise UnknownSigningKey("the token does not hold: it is signed with a key not known here")
        return key

    def _earliest_issue_s(self, token: str, claims: _Claims) -> float | None:
        """Since when it may exist, by our clock: that of its provider may be ahead, our own is not."""
        if claims.iat is None or _key_id(token) is None:
            return claims.iat
        return claims.iat - self._settings.jwt_leeway_s

    def _check_parties(self, claims: _Claims) -> None:
        settings = self._settings
        if settings.jwt_issuer and claims.iss != settings.jwt_issuer:
            raise Unauthenticated("the token is from another issuer (setting jwt_issuer)")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if settings.jwt_audience and settings.jwt_audience not in audiences:
            raise Unauthenticated("the token is for another audience (setting jwt_audience)")


def _vetted(secret: bytes) -> bytes:
    """Let PyJWT judge a secret once: it refuses public keys, which a forger would know. Raises `ConfigurationError`."""
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except PyJWTError as exc:
        raise ConfigurationError(f"the secret of tokens cannot be used: {exc}") from exc


def _key_id(token: str) -> str | None:
    """Read which key the token names. Raises `ValueError`, or any of its kinds, for a header that is none.

    PyJWT's own look at a header decodes the whole token, which it then does again to verify it: a tenth of what a
    connection costs.
    """
    segment = token.partition(".")[0]
    return _HEADER.decode(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))).kid


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
        raise OtherOrganization("the token is not for this organization")
    return wanted


def mint_token(
    secret: bytes,
    *,
    organization_id: str,
    role: Role,
    subject: str,
    ttl_s: float,
    now_s: float,
    settings: Settings | None = None,
) -> str:
    """Make a token that `TokenVerifier` accepts for `ttl_s` seconds from `now_s`, as issuer and audience of `settings`.

    It has an id of its own, by which it can be revoked; its `iat` has a fraction, so that one made right after all
    tokens of its user were revoked holds.
    """
    claims: dict[str, object] = {"sub": subject, "org": organization_id, "role": role}
    claims |= {"iat": round(now_s, 6), "exp": int(now_s + ttl_s), "jti": secrets.token_hex(8)}
    if settings is not None and settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings is not None and settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    return _SIGNATURES.encode(msgspec.json.encode(claims), secret, algorithm=_ALGORITHM)
