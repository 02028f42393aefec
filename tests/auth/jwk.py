"""Signing keys of a make-believe identity provider, and their public halves as it publishes them."""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def public_jwk(algorithm: str, key_id: str | None, **more: Any) -> dict[str, Any]:
    """Give the public half of the key for an algorithm."""
    maker: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
    entry: dict[str, Any] = maker.to_jwk(PRIVATE[algorithm].public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return entry | ({} if key_id is None else {"kid": key_id}) | more


def key_set(*entries: Any) -> bytes:
    """Write a JWK Set."""
    return json.dumps({"keys": entries}).encode()


def signed(algorithm: str, claims: dict[str, Any], *, key_id: str | None, key: Any = None) -> str:
    """Sign claims with the provider's key for an algorithm."""
    return jwt.encode(claims, key or PRIVATE[algorithm], algorithm=algorithm, headers={"kid": key_id} if key_id else {})
