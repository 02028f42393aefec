"""Tokens, API keys and the secret: what holds is let in for one organization, everything else is refused alike."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast import auth
from sensorcast.auth import KeyRing, TokenVerifier, load_or_create_secret, mint_token, new_api_key
from sensorcast.errors import ConfigurationError, Forbidden, TokenExpired, Unauthenticated, Unavailable
from sensorcast.model import ApiKey, Identity, Role
from sensorcast.settings import Settings

NOW_S = 1_795_000_000.0
SECRET = b"a secret of more than thirty-two bytes"
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
    assert verify(token) == Identity(organization_id="acme", subject="me", role=Role.ADMIN, expires_at_s=NOW_S + 60)


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


def test_a_short_secret_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes, not 5"):
        TokenVerifier(SETTINGS, b"short")
    with pytest.raises(ConfigurationError, match="jwt_secret"):
        load_or_create_secret(Settings(jwt_secret="short"))


def test_a_configured_secret_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    assert load_or_create_secret(Settings(jwt_secret=SECRET.decode(), data=str(tmp_path / "data"))) == SECRET
    assert not (tmp_path / "data").exists()


def test_a_secret_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "new" / "data"))
    secret = load_or_create_secret(settings)
    (file,) = Path(settings.data).iterdir()
    assert len(secret) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    assert load_or_create_secret(settings) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_several_starts_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    with ThreadPoolExecutor(8) as threads:
        secrets = set(threads.map(lambda _: load_or_create_secret(settings), range(16)))
    assert len(secrets) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_text("cut")
    with pytest.raises(ConfigurationError, match="jwt-secret must be at least 32 bytes"):
        load_or_create_secret(Settings(data=str(tmp_path)))


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load_or_create_secret(Settings(data=str(tmp_path / "file")))


class Keys:
    """A store of keys and a clock, both under the test's control."""

    def __init__(self) -> None:
        self.stored: dict[str, ApiKey] = {}
        self.asked: list[str] = []
        self.now_s = 0.0
        self.down = False
        self.ring = KeyRing(self.find, 5.0, lambda: self.now_s)

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked.append(key_id)
        if self.down:
            raise Unavailable("down")
        return self.stored.get(key_id)

    def create(self, organization_id: str = "acme") -> tuple[ApiKey, str]:
        key, text = new_api_key(organization_id, "gateway", 1)
        self.stored[key.key_id] = key
        return key, text

    def revoke(self, key: ApiKey) -> None:
        self.stored[key.key_id] = ApiKey(
            **{name: getattr(key, name) for name in key.__struct_fields__} | {"revoked_at_us": 2}
        )


def test_a_new_key_is_not_kept_in_clear() -> None:
    key, text = new_api_key("acme", "gateway", 7)
    prefix, key_id, secret, _ = text.split("_")
    assert (prefix, key_id, key.organization_id, key.name, key.created_at_us) == (
        "scast",
        key.key_id,
        "acme",
        "gateway",
        7,
    )
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(key)
    assert new_api_key("acme", "gateway", 7)[1] != text


def test_a_key_needs_an_organization_that_may_exist() -> None:
    with pytest.raises(ConfigurationError, match="organization id"):
        new_api_key("not an id", "x", 1)


async def test_a_key_is_identified_by_its_text() -> None:
    keys = Keys()
    key, text = keys.create()
    assert await keys.ring.identify(text) == key


async def test_keys_that_do_not_hold_are_refused() -> None:
    keys = Keys()
    _, text = keys.create()
    key_id, secret = text.split("_")[1:3]
    other_secret = "0" * 40
    forged = f"scast_{key_id}_{other_secret}_{auth._checksum(key_id, other_secret)}"
    unknown = new_api_key("acme", "x", 1)[1]
    for wrong in ("", "scast_", text[:-1], text + "0", text.upper(), f" {text}", f"{text}\n", forged, unknown, "é" * 9):
        with pytest.raises(Unauthenticated) as caught:
            await keys.ring.identify(wrong)
        assert secret not in str(caught.value)


async def test_a_mistyped_key_is_refused_without_asking_the_store() -> None:
    keys = Keys()
    _, text = keys.create()
    mistyped = text[:10] + ("0" if text[10] != "0" else "1") + text[11:]
    with pytest.raises(Unauthenticated, match="not a key of this server"):
        await keys.ring.identify(mistyped)
    assert keys.asked == []


async def test_unknown_and_revoked_keys_get_the_same_answer() -> None:
    keys = Keys()
    key, text = keys.create()
    keys.revoke(key)
    messages = set()
    for wrong in (text, new_api_key("acme", "x", 1)[1]):
        with pytest.raises(Unauthenticated) as caught:
            await keys.ring.identify(wrong)
        messages.add(caught.value.message)
    assert len(messages) == 1


async def test_answers_of_the_store_are_remembered_for_a_while() -> None:
    keys = Keys()
    key, text = keys.create()
    for now_s in (0.0, 1.0, 4.999):
        keys.now_s = now_s
        await keys.ring.identify(text)
    assert len(keys.asked) == 1
    keys.revoke(key)
    keys.now_s = 5.0
    with pytest.raises(Unauthenticated):
        await keys.ring.identify(text)


async def test_a_store_that_is_down_is_not_taken_for_an_unknown_key() -> None:
    keys = Keys()
    key, text = keys.create()
    keys.down = True
    with pytest.raises(Unavailable):
        await keys.ring.identify(text)
    keys.down = False
    assert await keys.ring.identify(text) == key


async def test_memory_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_CACHED_KEYS_MAX", 2)
    keys = Keys()
    texts = [keys.create()[1] for _ in range(3)]
    for text in texts:
        await keys.ring.identify(text)
    await keys.ring.identify(texts[2])
    assert len(keys.asked) == 3
    await keys.ring.identify(texts[0])
    assert len(keys.asked) == 4
