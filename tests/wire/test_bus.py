"""Messages between nodes: ours come back as they went in, everything else is refused with its reason."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.model import Reading
from sensorcast.wire.bus import MESSAGE_MAX_BYTES, Beat, BusCodec, Head, Readings, Refused, derive_key
from tests.readings import reading, series
from tests.stream.readings import streams_of_readings

CODEC = BusCodec(b"k" * 32)
ORIGIN: dict[str, Any] = {"channel": "org:acme", "origin": "a1", "epoch": 5, "sent_us": 6}
BEAT = Beat(channel="beats", origin="a1", epoch=5, number=3, sent_us=6, name="one", heads=(Head("org:acme", 9, 1_200),))
BEAT_HEX = (
    "01"  # version
    "2b003aa2cd653168f359b76615ab59c3"  # keyed BLAKE2b of the rest
    "88a474797065a462656174a76368616e6e656ca56265617473a66f726967696ea26131a565706f636805"
    "a66e756d62657203a773656e745f757306a46e616d65a36f6e65a568656164739193a86f72673a61636d6509cd04b0"
)


def encoded(readings: list[Reading], **options: Any) -> list[bytes | None]:
    numbers = count(7)
    return list(CODEC.encode_readings(readings, number=lambda: (next(numbers), 250), **ORIGIN, **options))


def refusal(message: bytes, channel: str = "org:acme", codec: BusCodec = CODEC) -> str:
    with pytest.raises(Refused) as caught:
        codec.decode(channel, message)
    return caught.value.reason


def test_readings_come_back_as_they_went_in() -> None:
    full = reading(device_id="probe", humidity=0.1 + 0.2, battery=0, metrics={"°": -1e-300}, source="ttn", site_id="n")
    [message] = encoded([full, reading("u2", temperature=None, metrics={"a": 0.0})])
    assert message is not None
    assert CODEC.decode("org:acme", message) == Readings(
        organization_id="acme",
        seq=7,
        since_ms=250,
        readings=[full, reading("u2", temperature=None, metrics={"a": 0.0})],
        **ORIGIN,
    )


@given(streams_of_readings())
def test_any_readings_come_back(readings: list[Reading]) -> None:
    if readings:
        [message] = encoded(readings)
        assert message is not None
        decoded = CODEC.decode("org:acme", message)
        assert isinstance(decoded, Readings)
        assert decoded.readings == readings


def test_a_beat_comes_back() -> None:
    decoded = CODEC.decode("beats", CODEC.encode_beat(BEAT))
    assert decoded == msgspec.structs.replace(BEAT, heads=[Head("org:acme", 9, 1_200)])


def test_a_beat_is_these_bytes() -> None:
    assert CODEC.encode_beat(BEAT).hex() == BEAT_HEX


def test_what_is_too_long_is_split_and_numbered() -> None:
    readings = series(1_000)
    messages = encoded(readings, max_bytes=20_000)
    assert len(messages) > 5
    assert all(message is not None and len(message) <= 20_000 for message in messages)
    decoded = [CODEC.decode("org:acme", message) for message in messages if message]
    assert [each.seq for each in decoded if isinstance(each, Readings)] == list(range(7, 7 + len(messages)))
    assert [one for each in decoded if isinstance(each, Readings) for one in each.readings] == readings


def test_a_reading_that_cannot_be_sent_takes_a_number_and_leaves_the_others_alone() -> None:
    bad = reading("u2", source="\ud800")
    long = reading("u3", source="x" * 3_000)
    messages = encoded([reading("u1"), bad, reading("u4"), long], max_bytes=2_000)
    assert messages.count(None) == 2
    found = [CODEC.decode("org:acme", message) for message in messages if message]
    assert [one.unit_id for each in found if isinstance(each, Readings) for one in each.readings] == ["u1", "u4"]
    assert {each.seq for each in found if isinstance(each, Readings)} < set(range(7, 11))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "foreign"),
        (b"\x01", "foreign"),
        (b"hello, somebody else uses this channel", "foreign"),
        (b"\x80\x04\x95 a pickle would be looked at by nobody", "foreign"),
        (b"\x01" + bytes(16) + b"\x80", "forged"),
        (bytes(MESSAGE_MAX_BYTES + 1), "oversized"),
    ],
)
def test_what_is_not_ours_is_refused(message: bytes, reason: str) -> None:
    assert refusal(message) == reason


def test_a_message_made_with_another_key_or_changed_by_one_bit_is_forged() -> None:
    [message] = encoded(series(1))
    assert message is not None
    assert refusal(message, codec=BusCodec(b"x" * 32)) == "forged"
    assert refusal(message[:-1] + bytes([message[-1] ^ 1])) == "forged"


def test_a_message_of_another_channel_is_refused() -> None:
    [message] = encoded(series(1))
    assert message is not None
    assert refusal(message, channel="org:other") == "wrong_channel"


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "something newer"},
        {"type": "beat", "channel": "beats", "origin": "a", "epoch": -1, "number": 1, "sent_us": 1, "name": "n"},
        {"type": "beat", "channel": "beats", "origin": "a" * 300, "epoch": 1, "number": 1, "sent_us": 1, "name": "n"},
        {"type": "beat", "channel": "beats", "origin": "a", "epoch": 1, "number": 1, "name": "n"},
        {"type": "readings", "channel": "org:acme", "origin": "a", "epoch": 1, "seq": 1, "readings": [{}]},
        ["a", "list"],
    ],
)
def test_a_shape_that_this_version_does_not_know_is_refused(payload: object) -> None:
    assert refusal(CODEC._seal(msgspec.msgpack.encode(payload))) == "unknown"


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(junk: bytes) -> None:
    for message in (junk, b"\x01" + junk, CODEC._seal(junk)):
        with pytest.raises(Refused):
            CODEC.decode("org:acme", message)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_no_change_of_a_good_message_is_taken_for_another_one(place: int, other: bytes) -> None:
    [message] = encoded(series(2))
    assert message is not None
    place %= len(message)
    changed = message[:place] + other + message[place + len(other) :]
    if changed != message:
        with pytest.raises(Refused):
            CODEC.decode("org:acme", changed)


def test_keys_differ_by_secret_and_by_cluster() -> None:
    keys = {derive_key(secret, context) for secret in (b"a" * 32, b"b" * 32) for context in ("one", "two")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
