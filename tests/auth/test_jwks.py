"""JWK Sets: every usable key with its one algorithm; what is weak, foreign or unclear is not used."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from sensorcast.auth import TokenVerifier
from sensorcast.auth.jwks import KEYS_MAX, UnusableKeySet, parse
from sensorcast.errors import Unauthenticated
from sensorcast.model import Identity
from sensorcast.settings import Settings

from .jwk import PRIVATE, RSA, key_set, public_jwk, signed

NOW_S = 1_795_000_000.0
CLAIMS: dict[str, Any] = {"sub": "user-1", "org": "acme", "role": "viewer", "exp": int(NOW_S) + 60}
SECRET = b"a secret of more than thirty-two bytes"
SHARED = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("="), "kid": "shared"}
ALL = [public_jwk(algorithm, f"key of {algorithm}") for algorithm in PRIVATE]


def verify(token: str, text: bytes) -> Identity:
    keys = parse(text, allow_secrets=True)
    return TokenVerifier(Settings(), b"the secret of this server itself", keys.get).verify(token, now_s=NOW_S)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_token_of_each_algorithm_is_taken(algorithm: str) -> None:
    token = signed(algorithm, CLAIMS, key_id=f"key of {algorithm}")
    assert verify(token, key_set(*ALL)).subject == "user-1"


def test_a_shared_secret_counts_only_where_the_network_cannot_read_it() -> None:
    token = signed("HS256", CLAIMS, key_id="shared", key=SECRET)
    assert verify(token, key_set(SHARED)).subject == "user-1"
    with pytest.raises(UnusableKeySet):
        parse(key_set(SHARED), allow_secrets=False)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_key_is_used_with_its_own_algorithm_only(algorithm: str) -> None:
    others = [name for name in PRIVATE if name != algorithm]
    for other in others:
        with pytest.raises(Unauthenticated):
            verify(signed(other, CLAIMS, key_id=f"key of {algorithm}"), key_set(*ALL))


def test_the_public_key_is_no_shared_secret() -> None:
    """The classic confusion: an HS256 token signed with the text of the public key, which everybody knows."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = text.replace(b"-----BEGIN PUBLIC KEY-----", b"").replace(b"-----END PUBLIC KEY-----", b"")
    for secret in (key, key.strip()):
        with pytest.raises(Unauthenticated):
            verify(signed("HS256", CLAIMS, key_id="key of RS256", key=secret), key_set(*ALL))


def test_a_token_without_a_key_id_is_never_checked_with_a_key_of_the_set() -> None:
    with pytest.raises(Unauthenticated):
        verify(signed("RS256", CLAIMS, key_id=None), key_set(*ALL))


def weak_rsa() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    entry: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return entry | {"kid": "weak"}


UNUSABLE: dict[str, Any] = {
    "no kid": public_jwk("RS256", None),
    "empty kid": public_jwk("RS256", ""),
    "kid of 257": public_jwk("RS256", "x" * 257),
    "kid number": public_jwk("RS256", None, kid=5),
    "for encryption": public_jwk("RS256", "k", use="enc"),
    "another algorithm": public_jwk("RS256", "k", alg="RS512"),
    "algorithm of others": public_jwk("RS256", "k", alg="HS256"),
    "another curve": public_jwk("ES256", "k") | {"crv": "P-384"},
    "no curve": {name: value for name, value in public_jwk("ES256", "k").items() if name != "crv"},
    "curve for exchange": public_jwk("EdDSA", "k") | {"crv": "X25519"},
    "point not on the curve": public_jwk("ES256", "k") | {"y": "AAAA"},
    "weak": weak_rsa(),
    "short secret": {"kty": "oct", "k": "AAAA", "kid": "k"},
    "no modulus": {"kty": "RSA", "kid": "k"},
    "modulus number": public_jwk("RS256", "k") | {"n": 5},
    "kind unknown": {"kty": "DSA", "kid": "k"},
    "kind list": {"kty": ["RSA"], "kid": "k"},
    "no object": "key",
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_is_not_for_tokens_is_left_out(entry: Any) -> None:
    assert list(parse(key_set(entry, ALL[0]), allow_secrets=True)) == ["key of RS256"]


DOCUMENTS = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"keys":{}}',
    b'{"keys":[]}',
    b"[" * 1_000,
    b"\xff",
    key_set(ALL[0], ALL[0]),
    key_set(*[{"kty": "x"}] * (KEYS_MAX + 1)),
]


@pytest.mark.parametrize("text", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(UnusableKeySet):
        parse(text, allow_secrets=True)


def test_of_a_private_key_only_the_public_half_is_kept() -> None:
    private: dict[str, Any] = RSAAlgorithm.to_jwk(RSA, as_dict=True)
    private.pop("key_ops")
    (key,) = parse(key_set(private | {"kid": "k"}), allow_secrets=True).values()
    assert not hasattr(key.key, "private_numbers")


@given(st.none() | st.booleans() | st.text(max_size=5) | st.lists(st.integers(), max_size=3) | st.just({"a": 1}))
def test_any_entry_is_left_out_without_another_error(value: Any) -> None:
    for field in ("kty", "kid", "alg", "use", "n", "e", "crv"):
        parse(key_set(public_jwk("RS256", "k") | {field: value}, ALL[1]), allow_secrets=True)
