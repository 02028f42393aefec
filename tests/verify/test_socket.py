"""The small client: connects, asks, keeps what came, and says when it was refused or cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from sensorcast.verify.socket import Refused, Socket
from tests.isolation.node import node


async def test_it_asks_and_keeps_everything_that_came(tmp_path: Path) -> None:
    async with node(tmp_path) as (url, tenants), Socket(url, {"token": tenants[0].token}) as socket:
        assert await socket.ask("get:latest:all") == []
        assert await socket.ask("get:latest", "unit-1") is None
        taken = socket.take()
        assert "connection:ack" in taken
        assert taken.endswith("431[null]")
        assert socket.take() == ""
        assert socket.is_open


async def test_a_refusal_says_what_the_server_said(tmp_path: Path) -> None:
    async with node(tmp_path) as (url, _):
        with pytest.raises(Refused, match="unauthenticated"):
            await Socket(url, {"token": "nonsense"}).__aenter__()


async def test_who_waits_learns_of_the_end(tmp_path: Path) -> None:
    async with node(tmp_path) as (url, tenants), Socket(url, {"token": tenants[0].token}) as socket:
        await socket.ask("auth:refresh", {"token": tenants[1].token})
        with pytest.raises((ConnectionError, ConnectionClosed)):
            await socket.ask("ping")
        assert not socket.is_open
