"""Tokens: what holds is let in for one organization, everything else is refused alike."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.auth import TokenVerifier, mint_token
from sensorcast.auth.jwks import VerificationKey
from sensorcast.errors import Forbidden, TokenExpired, Unauthenticated
from sensorcast.model import Identity, Role
from sensorcast.settings import Settings

NOW_S = 1_795_000_000.0
SECRET = b"a secret of more than thirty-two bytes"
OTHER_SECRET = b"another secret of more than thirty-two bytes"
CLAIMS: dict[str, Any] = {"sub": "user-1", "org": "acme", "role": "viewer", "exp": int(NOW_S) + 60}
SETTINGS = Settings(jwt_leeway_s=30)


def signed(claims: Any, *, header: dict[str, Any] | None = None, secret: bytes = SECRET) -> str:
    """Sign any claims, sound or not."""
    parts = [json.dumps(part).encode() for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(secret, text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def verify(token: str, *, settings: Settings = SETTINGS, pick: str | None = None, now_s: float = NOW_S) -> Identity:
    return TokenVerifier(settings, SECRET).verify(token, now_s=now_s, organization_id=pick)


def test_a_minted_token_proves_who_it_was_minted_for() -> None:
    token = mint_token(SECRET, organization_id="acme", role=Role.ADMIN, subject="me", ttl_s=60, now_s=NOW_S)
    identity = verify(token)
    assert (identity.organization_id, identity.subject, identity.role) == ("acme", "me", Role.ADMIN)
    assert (identity.issued_at_s, identity.expires_at_s, identity.key_id) == (NOW_S, NOW_S + 60, None)


def test_a_minted_token_says_to_the_microsecond_when_it_was_issued() -> None:
    issued_s = NOW_S + 0.123457
    token = mint_token(SECRET, organization_id="acme", role=Role.ADMIN, subject="me", ttl_s=60, now_s=issued_s)
    assert verify(token).issued_at_s == issued_s


def test_every_minted_token_has_an_id_of_its_own() -> None:
    tokens = [
        mint_token(SECRET, organization_id="acme", role=Role.ADMIN, subject="me", ttl_s=60, now_s=NOW_S)
        for _ in range(2)
    ]
    assert len({verify(token).token_id for token in tokens}) == 2


def test_a_minted_token_is_for_the_configured_audience() -> None:
    settings = Settings(jwt_issuer="https://issuer", jwt_audience="sensorcast")
    token = mint_token(
        SECRET, organization_id="acme", role=Role.ADMIN, subject="me", ttl_s=60, now_s=NOW_S, settings=settings
    )
    assert verify(token, settings=settings).subject == "me"


def test_a_token_of_another_library_is_taken() -> None:
    assert verify(jwt.encode(CLAIMS, SECRET, algorithm="HS256")).subject == "user-1"


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_known(role: Role) -> None:
    assert verify(signed(CLAIMS | {"role": role.value})).role is role


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "exp missing": {"exp": ...},
    "exp null": {"exp": None},
    "exp text": {"exp": str(int(NOW_S) + 60)},
    "exp bool": {"exp": True},
    "exp list": {"exp": [NOW_S + 60]},
    "exp beyond a float": {"exp": 10**400},
    "sub missing": {"sub": ...},
    "sub empty": {"sub": ""},
    "sub number": {"sub": 5},
    "sub of 257": {"sub": "x" * 257},
    "org missing": {"org": ...},
    "org null": {"org": None},
    "org number": {"org": 5},
    "org empty": {"org": ""},
    "org no id": {"org": "a/b"},
    "org with newline": {"org": "acme\n"},
    "org object": {"org": {"acme": 1}},
    "org no list entries": {"org": []},
    "org list of numbers": {"org": [1]},
    "org list with no id": {"org": ["acme", "a b"]},
    "role missing": {"role": ...},
    "role unknown": {"role": "root"},
    "role in capitals": {"role": "Viewer"},
    "role list": {"role": ["viewer"]},
    "nbf text": {"nbf": "0"},
    "nbf ahead": {"nbf": NOW_S + 31},
    "iat text": {"iat": "0"},
    "iat ahead": {"iat": NOW_S + 31},
    "iat beyond a float": {"iat": 10**400},
    "jti number": {"jti": 5},
    "jti empty": {"jti": ""},
}


@pytest.mark.parametrize("change", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_claims_of_wrong_type_or_value_are_refused(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not ...}
    with pytest.raises(Unauthenticated) as caught:
        verify(signed(claims, header=None))
    assert type(caught.value) is Unauthenticated


@pytest.mark.parametrize("claims", [[], "text", None, 5, [CLAIMS]], ids=str)
def test_claims_that_are_no_object_are_refused(claims: Any) -> None:
    with pytest.raises(Unauthenticated, match="does not hold"):
        verify(signed(claims))


@pytest.mark.parametrize("exp", [NOW_S - 29, NOW_S - 29.5, NOW_S + 10**9])
def test_expiry_has_leeway_for_clocks(exp: float) -> None:
    assert verify(signed(CLAIMS | {"exp": exp})).expires_at_s == exp


@pytest.mark.parametrize("exp", [NOW_S - 30, NOW_S - 10**6, 0, -1, 1e308])
def test_a_token_ends(exp: float) -> None:
    token = signed(CLAIMS | {"exp": exp})
    if exp > NOW_S:
        assert verify(token).expires_at_s == exp
    else:
        with pytest.raises(TokenExpired):
            verify(token)


def test_not_before_has_leeway_too() -> None:
    assert verify(signed(CLAIMS | {"nbf": NOW_S + 30}))


def test_a_token_of_a_provider_may_be_older_than_it_says_by_the_leeway_and_our_own_is_not() -> None:
    claims = CLAIMS | {"iat": NOW_S + 30}
    assert verify(signed(claims)).issued_at_s == NOW_S + 30
    known = TokenVerifier(Settings(), SECRET, {"theirs": VerificationKey("HS256", OTHER_SECRET)}.get)
    theirs = jwt.encode(claims, OTHER_SECRET, algorithm="HS256", headers={"kid": "theirs"})
    assert known.verify(theirs, now_s=NOW_S).issued_at_s == NOW_S


HEADERS: dict[str, dict[str, Any]] = {
    "none": {"alg": "none"},
    "none in capitals": {"alg": "None"},
    "other hash": {"alg": "HS512"},
    "rsa": {"alg": "RS256"},
    "missing": {"typ": "JWT"},
    "null": {"alg": None},
    "list": {"alg": ["HS256"]},
    "critical extension": {"alg": "HS256", "crit": ["exp"], "exp": 1},
    "detached": {"alg": "HS256", "b64": False, "crit": ["b64"]},
    "kid of wrong type": {"alg": "HS256", "kid": {"a": 1}},
    "kid unknown": {"alg": "HS256", "kid": "k1"},
    "kid as a path": {"alg": "HS256", "kid": "../../dev/null"},
    "kid as a query": {"alg": "HS256", "kid": "' OR 1=1 --"},
    "kid empty": {"alg": "HS256", "kid": ""},
    "key in the header": {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}, "kid": "x"},
    "key by address": {"alg": "HS256", "jku": "https://evil.example/keys", "kid": "x"},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_only_the_one_algorithm_is_taken(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        verify(signed(CLAIMS, header=header))


GOOD = signed(CLAIMS)
BAD_TOKENS = {
    "empty": "",
    "dots": "..",
    "two parts": GOOD.rsplit(".", 1)[0],
    "four parts": GOOD + ".x",
    "no signature": GOOD.rsplit(".", 1)[0] + ".",
    "other signature": GOOD[:-4] + ("AAAA" if GOOD[-4:] != "AAAA" else "BBBB"),
    "other secret": signed(CLAIMS, secret=b"another secret of more than thirty-two bytes"),
    "other payload": ".".join([GOOD.split(".")[0], signed(CLAIMS | {"org": "x"}).split(".")[1], GOOD.split(".")[2]]),
    "not ascii": "é" * 20,
    "surrogate": "\ud800." + GOOD,
    "nul": "\0",
    "blanks": f" {GOOD}",
    "with scheme": f"Bearer {GOOD}",
    "header not json": "e30x." + GOOD.split(".", 1)[1],
    "header list": base64.urlsafe_b64encode(b"[]").decode().rstrip("=") + "." + GOOD.split(".", 1)[1],
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_what_is_no_token_of_ours_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(token)


def test_a_token_too_long_is_refused_before_anything_else() -> None:
    with pytest.raises(Unauthenticated, match=r"8192 bytes \(setting jwt_max_bytes\)"):
        verify(signed(CLAIMS | {"padding": "x" * 9_000}))


def test_deeply_nested_claims_are_refused() -> None:
    with pytest.raises(Unauthenticated):
        verify(signed(CLAIMS).split(".")[0] + "." + base64.urlsafe_b64encode(b"[" * 4_000).decode() + ".AAAA")


@given(
    st.text(max_size=60)
    | st.lists(st.binary(max_size=20).map(base64.urlsafe_b64encode), max_size=4).map(
        lambda parts: b".".join(parts).decode()
    )
)
def test_any_text_is_refused_with_our_error(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(token)


def test_messages_never_hold_the_token() -> None:
    token = signed(CLAIMS | {"role": "canary-role-value-1234"})
    with pytest.raises(Unauthenticated) as caught:
        verify(token)
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None


def test_issuer_and_audience_are_checked_where_configured() -> None:
    settings = Settings(jwt_issuer="https://issuer", jwt_audience="sensorcast")
    good = CLAIMS | {"iss": "https://issuer", "aud": ["other", "sensorcast"]}
    assert verify(signed(good), settings=settings)
    assert verify(signed(good | {"aud": "sensorcast"}), settings=settings)
    for change in ({"iss": "https://issue"}, {"iss": None}, {"aud": "sensor"}, {"aud": []}, {"aud": None}):
        with pytest.raises(Unauthenticated, match="another"):
            verify(signed(good | change), settings=settings)


def test_issuer_and_audience_are_ignored_where_not_configured() -> None:
    assert verify(signed(CLAIMS | {"iss": "x", "aud": "y"}))


def test_of_several_organizations_the_client_picks_one() -> None:
    token = signed(CLAIMS | {"org": ["acme", "other"]})
    assert verify(token, pick="other").organization_id == "other"
    with pytest.raises(Forbidden, match="several organizations"):
        verify(token)
    with pytest.raises(Forbidden, match="not for this organization"):
        verify(token, pick="third")


def test_the_only_organization_needs_no_pick_but_a_wrong_pick_is_refused() -> None:
    for org in ("acme", ["acme"], ["acme", "acme"]):
        token = signed(CLAIMS | {"org": org})
        assert verify(token).organization_id == verify(token, pick="acme").organization_id == "acme"
        with pytest.raises(Forbidden):
            verify(token, pick="other")
        with pytest.raises(Forbidden):
            verify(token, pick="")
