"""API keys: known by their text alone, remembered for a while, ended by time or by revocation."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from sensorcast.auth import Attempts, KeyRing, api_keys, new_api_key
from sensorcast.errors import ConfigurationError, QuotaExceeded, Unauthenticated, Unavailable
from sensorcast.model import ApiKey
from sensorcast.settings import Settings


class Keys:
    """A store of keys and a clock, both under the test's control."""

    def __init__(self) -> None:
        self.stored: dict[str, ApiKey] = {}
        self.asked: list[str] = []
        self.now_s = 0.0
        self.down = False
        self.answered = asyncio.Event()
        """Cleared, the store has looked but does not answer yet."""
        self.answered.set()
        attempts = Attempts(Settings(bad_credentials_burst=20), lambda: self.now_s)
        self.ring = KeyRing(self.find, 5.0, lambda: self.now_s, attempts=attempts)

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked.append(key_id)
        if self.down:
            raise Unavailable("down")
        found = self.stored.get(key_id)
        await self.answered.wait()
        return found

    def create(self, organization_id: str = "acme") -> tuple[ApiKey, str]:
        key, text = new_api_key(organization_id, "gateway", 1)
        self.stored[key.key_id] = key
        return key, text

    def revoke(self, key: ApiKey) -> None:
        self.stored[key.key_id] = msgspec.structs.replace(key, revoked_at_us=2)


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
    forged = f"scast_{key_id}_{other_secret}_{api_keys._checksum(key_id, other_secret)}"
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
    monkeypatch.setattr(api_keys, "_CACHED_KEYS_MAX", 2)
    keys = Keys()
    texts = [keys.create()[1] for _ in range(3)]
    for text in texts:
        await keys.ring.identify(text)
    await keys.ring.identify(texts[2])
    assert len(keys.asked) == 3
    await keys.ring.identify(texts[0])
    assert len(keys.asked) == 4


async def test_a_key_ends_at_its_moment() -> None:
    keys = Keys()
    key, text = new_api_key("acme", "gateway", 1, expires_at_us=3_000_000)
    keys.stored[key.key_id] = key
    keys.now_s = 2.9
    assert await keys.ring.identify(text) == key
    keys.now_s = 3.0
    with pytest.raises(Unauthenticated, match="expired"):
        await keys.ring.identify(text)


async def test_a_key_once_recognized_is_good_while_it_is_remembered_unchanged_and_lives() -> None:
    keys = Keys()
    key, text = new_api_key("acme", "gateway", 1, expires_at_us=3_000_000)
    keys.stored[key.key_id] = key
    assert not keys.ring.is_still_good(key)
    await keys.ring.identify(text)
    assert keys.ring.is_still_good(key)
    assert key.key_id in keys.ring.take_uses()
    keys.now_s = 3.0
    assert not keys.ring.is_still_good(key)
    keys.now_s = 2.9
    keys.ring.forget([key.key_id])
    assert not keys.ring.is_still_good(key)
    keys.stored[key.key_id] = msgspec.structs.replace(key, name="renamed")
    await keys.ring.identify(text)
    assert not keys.ring.is_still_good(key)
    assert keys.ring.is_still_good(keys.stored[key.key_id])


async def test_two_keys_live_at_once_so_that_one_can_replace_the_other() -> None:
    keys = Keys()
    (old, old_text), (new, new_text) = keys.create(), keys.create()
    assert await keys.ring.identify(old_text) == old
    assert await keys.ring.identify(new_text) == new
    keys.revoke(old)
    keys.ring.forget([old.key_id])
    with pytest.raises(Unauthenticated):
        await keys.ring.identify(old_text)
    assert await keys.ring.identify(new_text) == new


async def test_a_forgotten_organization_is_looked_up_anew() -> None:
    keys = Keys()
    texts = [keys.create("acme")[1], keys.create("globex")[1]]
    for text in texts:
        await keys.ring.identify(text)
    keys.ring.forget_organization("acme")
    for text in texts:
        await keys.ring.identify(text)
    assert len(keys.asked) == 3


async def test_a_key_revoked_while_it_was_looked_up_is_not_remembered_as_live() -> None:
    keys = Keys()
    key, text = keys.create()
    for forget in (lambda: keys.ring.forget([key.key_id]), lambda: keys.ring.forget_organization("acme")):
        keys.answered.clear()
        asking = asyncio.create_task(keys.ring.identify(text))
        while not keys.asked:
            await asyncio.sleep(0)
        keys.revoke(key)
        forget()
        keys.answered.set()
        await asyncio.gather(asking, return_exceptions=True)
        with pytest.raises(Unauthenticated):
            await keys.ring.identify(text)
        keys.stored[key.key_id] = key
        keys.ring.forget([key.key_id])
        keys.asked.clear()


async def test_unknown_keys_of_one_address_reach_the_store_only_so_often() -> None:
    keys = Keys()
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await keys.ring.identify(new_api_key("acme", "x", 1)[1], address="192.0.2.1")
    with pytest.raises(QuotaExceeded) as caught:
        await keys.ring.identify(new_api_key("acme", "x", 1)[1], address="192.0.2.1")
    assert len(keys.asked) == 20
    assert caught.value.retry_after_s == 1
    with pytest.raises(Unauthenticated):
        await keys.ring.identify(new_api_key("acme", "x", 1)[1], address="192.0.2.2")


async def test_a_key_in_use_is_served_however_much_its_neighbours_try() -> None:
    keys = Keys()
    key, text = keys.create()
    await keys.ring.identify(text, address="192.0.2.1")
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await keys.ring.identify("nonsense", address="192.0.2.1")
    with pytest.raises(QuotaExceeded):
        await keys.ring.identify("nonsense", address="192.0.2.1")
    assert await keys.ring.identify(text, address="192.0.2.1") == key


async def test_uses_are_noted_once_a_key_and_handed_over_once() -> None:
    keys = Keys()
    key, text = keys.create()
    for now_s in (1.0, 2.5):
        keys.now_s = now_s
        await keys.ring.identify(text)
    assert keys.ring.take_uses() == {key.key_id: 2_500_000}
    assert keys.ring.take_uses() == {}
