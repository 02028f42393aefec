"""Cursors come back as they went out; foreign text is refused by the contract suite."""

from __future__ import annotations

import pytest

from sensorcast.store.cursors import decode_cursor, encode_cursor
from tests.readings import reading


@pytest.mark.parametrize("device_id", [None, "d", "a:b.c-d_e", "0/1".replace("/", ":")])
def test_a_cursor_says_what_was_put_in(device_id: str | None) -> None:
    item = reading(at_us=-(10**15), device_id=device_id)
    assert decode_cursor(encode_cursor(item)) == (item.recorded_at_us, device_id or "")
