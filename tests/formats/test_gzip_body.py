"""Gzip is inflated whole, within bounds, or refused."""

from __future__ import annotations

import contextlib
import gzip
import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.errors import MalformedRequest, PayloadTooLarge
from sensorcast.formats.gzip_body import inflate
from sensorcast.settings import Settings

SETTINGS = Settings(ingest_body_max_bytes=1024, ingest_inflated_max_bytes=100_000, ingest_inflate_max_ratio=20)
SOUND = gzip.compress(b'{"readings":[]}')
NOISE = random.Random(1).randbytes(90_000)

BROKEN = {
    "empty": b"",
    "not gzip": b'{"readings":[]}',
    "raw deflate": zlib.compress(b"{}")[2:-4],
    "zlib": zlib.compress(b"{}"),
    "header only": SOUND[:10],
    "cut": SOUND[:-1],
    "wrong checksum": SOUND[:-8] + b"\0\0\0\0" + SOUND[-4:],
    "wrong length": SOUND[:-4] + b"\xff\xff\xff\x7f",
    "bad block": SOUND[:10] + b"\xff" + SOUND[11:],
    "text behind it": SOUND + b"x",
    "zeros behind it": SOUND + b"\0" * 64,
    "second file cut": SOUND + SOUND[:-3],
    "reserved flags": SOUND[:3] + b"\xe0" + SOUND[4:],
    "too many files": SOUND * 17,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_sound_gzip_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="gzip"):
        inflate(body, SETTINGS)


def test_files_joined_together_are_one_body() -> None:
    assert inflate(gzip.compress(b'{"readings"') + gzip.compress(b"") + gzip.compress(b":[]}"), SETTINGS) == (
        b'{"readings":[]}'
    )


def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    exact = NOISE + b"x" * 10_000
    assert inflate(gzip.compress(exact), SETTINGS) == exact
    with pytest.raises(PayloadTooLarge, match=r"100000 bytes \(setting ingest_inflated_max_bytes\)"):
        inflate(gzip.compress(exact + b"x"), SETTINGS)


def test_the_limit_counts_all_joined_files() -> None:
    half = gzip.compress(NOISE[:60_000])
    with pytest.raises(PayloadTooLarge):
        inflate(half + half, SETTINGS)


def test_a_body_that_inflates_beyond_the_ratio_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match=r"20 times \(setting ingest_inflate_max_ratio\)"):
        inflate(gzip.compress(b" " * 50_000), SETTINGS)


def test_what_would_be_taken_plain_is_taken_however_well_it_compressed() -> None:
    assert inflate(gzip.compress(b" " * 1024), SETTINGS) == b" " * 1024


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_quickly_and_cheaply(layers: int) -> None:
    bomb = b"\0" * 200_000_000
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    started_s, unpacked = time.thread_time(), bomb
    for _ in range(layers):
        unpacked = gzip.decompress(unpacked)
    whole_s = time.thread_time() - started_s
    settings, started_s = Settings(), time.thread_time()
    if layers == 1:
        with pytest.raises(PayloadTooLarge):
            inflate(bomb, settings)
    else:
        assert len(inflate(bomb, settings)) < settings.ingest_inflated_max_bytes
    assert time.thread_time() - started_s < whole_s / 3


@given(st.binary(max_size=200) | st.builds(lambda cut, junk: SOUND[:cut] + junk, st.integers(0, 40), st.binary()))
def test_any_bytes_give_a_body_or_one_of_our_errors(body: bytes) -> None:
    with contextlib.suppress(MalformedRequest, PayloadTooLarge):
        assert len(inflate(body, SETTINGS)) <= 100_000


@given(st.binary(max_size=5_000))
def test_what_was_compressed_comes_back(content: bytes) -> None:
    assert inflate(gzip.compress(content), Settings()) == content
