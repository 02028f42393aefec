"""Polling requests as an ASGI server hands them over: opening, GET and POST, overlaps, sizes, origins."""

from __future__ import annotations

import asyncio
import json

import pytest

from sensorcast.transport.http import PollingRequests
from sensorcast.wire.engineio import Timing
from sensorcast.wire.frame import Frame
from tests.transport.asgi import Request
from tests.transport.fakes import Server

OPEN = "/engine.io/?EIO=4&transport=polling"
SESSION = OPEN + "&sid=s0"


class Door:
    """The polling door of a server, with one session."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.app = PollingRequests(server.endpoint)

    async def ask(self, target: str = SESSION, **options: object) -> Request:
        async with asyncio.timeout(30):
            return await Request(target, **options).run(self.app)  # type: ignore[arg-type]

    async def push(self, *pieces: bytes, **headers: str) -> Request:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(method="POST", body=pieces, headers=named)

    async def wait(self) -> tuple[Request, asyncio.Task[Request]]:
        """A GET that waits for something to be sent."""
        request = Request(SESSION)
        task = request.start(self.app)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        return request, task

    @property
    def messages(self) -> list[str | bytes]:
        return self.server.handlers[0].messages

    def send(self, text: str) -> None:
        self.server.endpoint.connections["s0"].send(Frame(text.encode()))


@pytest.fixture
async def door() -> Door:
    made = Door(
        Server(payload_max_packets=20, timing=Timing(max_payload_bytes=1_000), allowed_origins=("https://a.test",))
    )
    opening = await made.ask(OPEN)
    assert opening.status == 200
    return made


async def test_the_first_get_opens_a_session(door: Door) -> None:
    opening = await door.ask(OPEN + "&unit=u1", headers={"x-kept": "k"})
    assert json.loads(opening.body.removeprefix(b"0"))["sid"] == "s1"
    assert opening.headers["content-type"] == "text/plain; charset=UTF-8"
    assert opening.headers["cache-control"] == "no-store"
    handshake = door.server.handlers[1].handshake
    assert (handshake.address, dict(handshake.query), dict(handshake.headers)) == (
        "192.0.2.7",
        {"unit": "u1"},
        {"x-kept": "k"},
    )


REFUSALS = {
    "unknown session": (OPEN + "&sid=nobody", "GET", 400, {"code": 1, "message": "Session ID unknown"}),
    "unknown transport": ("/engine.io/?EIO=4&transport=x", "GET", 400, {"code": 0, "message": "Transport unknown"}),
    "no query": ("/engine.io/", "GET", 400, {"code": 0, "message": "Transport unknown"}),
    "old version": (OPEN.replace("4", "3"), "GET", 400, {"code": 5, "message": "Unsupported protocol version"}),
    "opening by post": (OPEN, "POST", 400, {"code": 2, "message": "Bad handshake method"}),
    "opening by put": (OPEN, "PUT", 400, {"code": 2, "message": "Bad handshake method"}),
    "other method": (SESSION, "DELETE", 400, {"code": 2, "message": "Bad handshake method"}),
}


@pytest.mark.parametrize(("target", "method", "status", "body"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_request_is_refused_in_the_form_of_engine_io(
    door: Door, target: str, method: str, status: int, body: dict[str, object]
) -> None:
    answer = await door.ask(target, method=method)
    assert (answer.status, json.loads(answer.body)) == (status, body)
    assert answer.headers["content-type"] == "application/json"
    assert door.server.sids == ["s0"]


async def test_a_server_that_is_full_says_when_to_come_back(door: Door) -> None:
    door.server.endpoint.stop_accepting()
    answer = await door.ask(OPEN)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_get_is_answered_with_what_is_sent_while_it_waits(door: Door) -> None:
    _, task = await door.wait()
    door.send("4hello")
    assert (await task).body == b"4hello"


async def test_packets_of_a_post_are_taken_in_order(door: Door) -> None:
    answer = await door.push(b"4a\x1e", b"bAQI=", b"\x1e4\xe2", b"\x82\xac")
    assert (answer.status, answer.body) == (200, b"ok")
    assert door.messages == ["a", b"\x01\x02", "€"]


async def test_a_get_and_a_post_go_on_side_by_side(door: Door) -> None:
    _, task = await door.wait()
    assert (await door.push(b"4a")).body == b"ok"
    door.send("4b")
    assert (await task).body == b"4b"


async def test_a_second_get_ends_the_session_and_lets_the_first_go(door: Door) -> None:
    _, first = await door.wait()
    assert (await door.ask()).status == 400
    assert (await first).body == b"1"
    assert (await door.ask()).status == 400
    assert door.server.sids == []


async def test_two_gets_at_the_same_moment_end_the_session_too(door: Door) -> None:
    answers = await asyncio.gather(door.ask(), door.ask())
    assert sorted(answer.status for answer in answers) == [200, 400]
    assert door.server.sids == []


async def test_a_second_post_while_one_is_read_ends_the_session(door: Door) -> None:
    slow = Request(SESSION, method="POST", body=[])
    task = slow.start(door.app)
    await asyncio.sleep(0)
    assert (await door.push(b"4a")).status == 400
    assert door.server.sids == []
    slow.leave()
    await task


async def test_a_client_that_hangs_up_while_it_polls_ends_its_session(door: Door) -> None:
    request, task = await door.wait()
    request.leave()
    await task
    assert not request.answered
    assert door.server.handlers[0].events == ["closed: transport close"]


async def test_what_is_sent_as_the_client_hangs_up_is_not_answered_to_nobody(door: Door) -> None:
    request, task = await door.wait()
    request.leave()
    await asyncio.sleep(0)
    door.send("4a")
    await task
    assert not request.answered


async def test_a_get_that_is_cancelled_leaves_what_there_is_for_the_next(door: Door) -> None:
    _, task = await door.wait()
    door.send("4a")
    task.cancel()
    await asyncio.wait([task])
    assert (await door.ask()).body == b"4a"


BAD_BODIES = {
    "empty": [b""],
    "unknown packet": [b"9"],
    "not utf-8": [b"4\xff"],
    "not base64": [b"b!"],
    "too many packets": [b"\x1e".join([b"6"] * 21)],
    "good before bad": [b"4a\x1e9"],
}


@pytest.mark.parametrize("pieces", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_bad_body_ends_the_session_and_nothing_of_it_is_taken(door: Door, pieces: list[bytes]) -> None:
    assert (await door.push(*pieces)).status == 400
    assert door.messages == []
    assert door.server.handlers[0].events[0].startswith("closed: protocol error")


async def test_a_body_of_engine_io_3_is_refused(door: Door) -> None:
    assert (await door.push(b"4a", content_type="application/octet-stream")).status == 400


async def test_a_message_the_application_refuses_ends_the_session(door: Door) -> None:
    assert (await door.push(b"4a\x1e4bad\x1e4b")).status == 200
    assert door.messages == ["a"]
    assert door.server.sids == []


async def test_a_body_is_not_read_beyond_the_limit(door: Door) -> None:
    request = Request(SESSION, method="POST", body=[b"4" + b"x" * 500] * 100)
    await request.run(door.app)
    assert (request.status, request.pieces_read) == (413, 2)
    assert b"setting max_payload_bytes" in request.body
    assert door.server.sids == []


async def test_a_body_that_announces_too_much_is_not_read_at_all(door: Door) -> None:
    request = Request(SESSION, method="POST", body=[b"4a"], headers={"content-length": "1001"})
    await request.run(door.app)
    assert (request.status, request.pieces_read) == (413, 0)


async def test_a_body_of_exactly_the_limit_is_taken(door: Door) -> None:
    assert (await door.push(b"4" + b"x" * 999, content_length="1000")).status == 200
    assert len(door.messages[0]) == 999


async def test_a_body_is_not_read_beyond_the_end_of_its_session(door: Door) -> None:
    slow = Request(SESSION, method="POST", body=[])
    task = slow.start(door.app)
    await asyncio.sleep(0)
    door.server.endpoint.connections["s0"].close("ping timeout")
    async with asyncio.timeout(30):
        await task
    assert slow.status == 400


async def test_a_client_that_hangs_up_in_its_body_ends_its_session(door: Door) -> None:
    request = Request(SESSION, method="POST", body=[])
    request.leave()
    await request.run(door.app)
    assert door.server.sids == []


async def test_a_page_of_a_listed_origin_may_read_every_answer(door: Door) -> None:
    for target, method in ((OPEN, "GET"), (OPEN + "&sid=nobody", "GET"), (OPEN, "OPTIONS")):
        answer = await door.ask(target, method=method, headers={"origin": "https://a.test"})
        assert answer.headers["access-control-allow-origin"] == "https://a.test"
        assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_page_of_another_origin_gets_nothing(door: Door, method: str) -> None:
    answer = await door.ask(SESSION, method=method, headers={"origin": "https://evil.test"})
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert door.server.sids == ["s0"]


async def test_a_preflight_says_what_may_be_sent(door: Door) -> None:
    answer = await door.ask(OPEN, method="OPTIONS", headers={"origin": "https://a.test"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert "content-length" not in answer.headers
