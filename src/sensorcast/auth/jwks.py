"""A JWK Set (RFC 7517) as a table: key id -> one key with its one algorithm. Pure: bytes in, keys out.

The invariant: every key that comes out has an id, exactly one algorithm of `ALGORITHMS` and a size that is safe for
it. What cannot be used is left out, as an identity provider may publish keys for other uses beside those for tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWKError, PyJWTError

from sensorcast.auth.secret import SECRET_MIN_BYTES
from sensorcast.strict_json import JsonError, decode

ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}
"""The one algorithm of each kind of key; a key that names another one is not used."""

KEYS_MAX: Final = 100
"""Identity providers publish a handful; more is a mistake or an attack on memory."""

_KEY_ID_MAX: Final = 256
_RSA_MIN_BITS: Final = 2_048
_JSON_DEPTH: Final = 8


class VerificationKey(msgspec.Struct, frozen=True):
    """A key and the only algorithm it may be used with."""

    algorithm: str
    key: Any
    """As the JWT library wants it: bytes, or a public key object."""


class UnusableKeySet(ValueError):
    """The document is no JWK Set, or holds no key for tokens."""


def parse(text: bytes, *, allow_secrets: bool) -> Mapping[str, VerificationKey]:
    """Give the usable keys of a JWK Set by their ids. Raises `UnusableKeySet`.

    `allow_secrets`: whether symmetric keys count; they have no business in a document that the network can read.
    """
    try:
        document = decode(text, max_depth=_JSON_DEPTH)
    except JsonError as exc:
        raise UnusableKeySet(str(exc)) from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise UnusableKeySet(f"not a JWK Set of at most {KEYS_MAX} keys")
    found: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _usable(entry, allow_secrets) if isinstance(entry, dict) else None
        if key is None:
            continue
        if entry["kid"] in found:
            raise UnusableKeySet("two keys have the same kid")
        found[entry["kid"]] = key
    if not found:
        raise UnusableKeySet(f"no key with a kid for one of {', '.join(ALGORITHMS.values())}")
    return found


def _usable(entry: Mapping[str, Any], allow_secrets: bool) -> VerificationKey | None:
    kind, key_id = entry.get("kty"), entry.get("kid")
    algorithm = ALGORITHMS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or not isinstance(key_id, str) or not 0 < len(key_id) <= _KEY_ID_MAX:
        return None
    if entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        return None
    if kind == "oct" and not allow_secrets:
        return None
    if entry.get("crv") != {"EC": "P-256", "OKP": "Ed25519"}.get(str(kind)):
        return None
    try:
        key = _public(PyJWK(dict(entry), algorithm=algorithm).key)
    except (PyJWTError, PyJWKError, ValueError, TypeError, KeyError):
        return None
    return VerificationKey(algorithm, key) if _is_strong(key) else None


def _public(key: Any) -> Any:
    """Give the public half where somebody has published a private key: nothing here signs."""
    return key.public_key() if hasattr(key, "public_key") else key


def _is_strong(key: Any) -> bool:
    if isinstance(key, bytes):
        return len(key) >= SECRET_MIN_BYTES
    return key.key_size >= _RSA_MIN_BITS if isinstance(key, RSAPublicKey) else True
