"""What goes the short way is answered as by uvicorn, and only a plain request alone on its connection goes it.

Every request is sent twice: whole to a connection that has a short way, and byte by byte to one that has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from sensorcast.http_errors import HttpAnswer, json_answer
from sensorcast.settings import Settings
from sensorcast.transport import short_way
from sensorcast.transport.http_guard import GuardedHttpProtocol, guarded_http_class
from sensorcast.transport.short_way import PlainHead, ShortWay

PATH = "/api/ingest/readings"
SETTINGS = Settings(header_max_bytes=2_048, header_max_count=16)
BODY = b'{"readings":[]}'
TURNS = 12
"""Turns of the loop after which everything asked has been answered."""


class Pipe(asyncio.Transport):
    """A connection whose other end is the test."""

    addresses: ClassVar = {"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 80)}

    def __init__(self) -> None:
        super().__init__(self.addresses)
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing
        self.written += data

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def echo(pairs: Sequence[tuple[bytes, bytes]], body: bytes) -> HttpAnswer:
    """Answer with everything that was understood; some bodies are refused."""
    return json_answer(400 if b"bad" in body else 200, repr((pairs, body)).encode())


class Door:
    """The same answers on both ways, after a few turns of the loop."""

    def __init__(self, delay_turns: int = 0) -> None:
        self.delay_turns = delay_turns
        self.taken = 0
        self.refuse = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        for _ in range(self.delay_turns):
            await asyncio.sleep(0)
        answer = echo(scope["headers"], body)
        if (scope["method"], scope["path"]) != ("POST", PATH):
            answer = json_answer(404, b"")
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def take(self, head: PlainHead, body: bytes, answer: Callable[[HttpAnswer], None]) -> bool:
        if self.refuse:
            return False
        self.taken += 1
        self._later(self.delay_turns, lambda: answer(echo(list(head.fields.items()), body)))
        return True

    def _later(self, turns: int, call: Callable[[], None]) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._later, turns - 1, call)
        else:
            call()


class Connection:
    """One connection to a door, with or without a short way."""

    def __init__(self, door: Door, *, short: bool = True) -> None:
        self.door = door
        http_class = guarded_http_class(SETTINGS, None, ShortWay(PATH, door.take) if short else None)
        config = uvicorn.Config(door, http=http_class, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"now")]
        self.pipe = Pipe()
        self.protocol: GuardedHttpProtocol = http_class(config=config, server_state=state, app_state={})
        self.protocol.connection_made(self.pipe)

    def send(self, *reads: bytes) -> Connection:
        for each in reads:
            if not self.pipe.closing:
                self.protocol.data_received(each)
        return self

    async def answered(self) -> tuple[bytes, bool]:
        """Wait, end the connection, and give what was written, and whether the server ended it."""
        for _ in range(TURNS * (1 + self.door.delay_turns)):
            await asyncio.sleep(0)
        outcome = (self.pipe.written, self.pipe.closing)
        self.protocol.connection_lost(None)
        return outcome


async def both(reads: Sequence[bytes], *, delay_turns: int = 0, dribble: bool = True) -> tuple[Any, Any, int]:
    """Give what comes back for these reads, and on the long way byte by byte; and how many went the short way."""
    short, long = Connection(Door(delay_turns)), Connection(Door(delay_turns), short=False)
    raw = b"".join(reads)
    pieces = [raw[at : at + 1] for at in range(len(raw))] if dribble else reads
    outcomes = await asyncio.gather(short.send(*reads).answered(), long.send(*pieces).answered())
    return *outcomes, short.door.taken


def request(*lines: bytes, body: bytes = BODY, first: bytes = b"POST /api/ingest/readings HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines, b"", body))


HOST = b"Host: server.test"
LENGTH = b"Content-Length: 15"
KEY = b"X-API-Key: scast_1"
PLAIN = request(HOST, KEY, LENGTH)

GOES_SHORT = {
    "plain": PLAIN,
    "refused by the door": request(HOST, b"Content-Length: 3", body=b"bad"),
    "other case": request(b"HOST: x", b"content-LENGTH: 15"),
    "no blank after the colon": request(b"Host:x", b"Content-Length:15"),
    "kept alive": request(HOST, LENGTH, b"Connection: Keep-Alive"),
    "body of any bytes": request(HOST, LENGTH, body=bytes(range(120, 135))),
    "body like a head": request(HOST, b"Content-Length: 19", body=b"GET / HTTP/1.1\r\n\r\n\n"),
    "as many headers as may be": request(HOST, LENGTH, *(b"X-%d: y" % number for number in range(14))),
    "blanks within": request(HOST, LENGTH, b'User-Agent: a b  (c; d) "e"'),
}
GOES_LONG = {
    "another path": request(HOST, LENGTH, first=b"POST /api/ingest/reading HTTP/1.1"),
    "with a query": request(HOST, LENGTH, first=b"POST /api/ingest/readings?a HTTP/1.1"),
    "absolute": request(HOST, LENGTH, first=b"POST http://server.test/api/ingest/readings HTTP/1.1"),
    "escaped": request(HOST, LENGTH, first=b"POST /api/ingest/%72eadings HTTP/1.1"),
    "GET": request(HOST, first=b"GET /api/ingest/readings HTTP/1.1", body=b""),
    "PUT": request(HOST, LENGTH, first=b"PUT /api/ingest/readings HTTP/1.1"),
    "lower case": request(HOST, LENGTH, first=b"post /api/ingest/readings HTTP/1.1"),
    "HTTP/1.0": request(HOST, LENGTH, first=b"POST /api/ingest/readings HTTP/1.0"),
    "HTTP/1.2": request(HOST, LENGTH, first=b"POST /api/ingest/readings HTTP/1.2"),
    "two blanks": request(HOST, LENGTH, first=b"POST  /api/ingest/readings HTTP/1.1"),
    "empty line first": b"\r\n" + PLAIN,
    "line feeds only": PLAIN.replace(b"\r\n", b"\n"),
    "no host": request(KEY, LENGTH),
    "two hosts": request(HOST, HOST, LENGTH),
    "no headers": request(body=b""),
    "no length": request(HOST, body=b""),
    "length 0": request(HOST, b"Content-Length: 0", body=b""),
    "length with zero": request(HOST, b"Content-Length: 015"),
    "length with sign": request(HOST, b"Content-Length: +15"),
    "length in hexadecimal": request(HOST, b"Content-Length: 0xf"),
    "huge length": request(HOST, b"Content-Length: 99999999999999999999999"),
    "lengths as list": request(HOST, b"Content-Length: 15, 15"),
    "two lengths": request(HOST, LENGTH, b"Content-Length: 16"),
    "two equal lengths": request(HOST, LENGTH, LENGTH),
    "too short": request(HOST, b"Content-Length: 16"),
    "too long": request(HOST, b"Content-Length: 14"),
    "two requests": PLAIN + PLAIN,
    "one and a half": PLAIN + PLAIN[:40],
    "line break behind": PLAIN + b"\r\n",
    "chunked": request(HOST, b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked and length": request(HOST, LENGTH, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "unknown coding": request(HOST, LENGTH, b"Transfer-Encoding: identity"),
    "expectation": request(HOST, LENGTH, b"Expect: 100-continue"),
    "upgrade": request(HOST, LENGTH, b"Connection: Upgrade", b"Upgrade: h2c"),
    "upgrade to WebSocket": request(HOST, LENGTH, b"Connection: Upgrade", b"Upgrade: websocket"),
    "trailer": request(HOST, LENGTH, b"Trailer: X-A"),
    "close": request(HOST, LENGTH, b"Connection: close"),
    "close and keep-alive": request(HOST, LENGTH, b"Connection: keep-alive, close"),
    "compressed": request(HOST, LENGTH, b"Content-Encoding: gzip"),
    "repeated": request(HOST, LENGTH, KEY, KEY),
    "repeated in another case": request(HOST, LENGTH, KEY, KEY.lower()),
    "folded": request(HOST, b"X-A: b", b" Content-Length: 15", LENGTH),
    "folded with a tab": request(HOST, b"X-A: b", b"\tc", LENGTH),
    "empty value": request(HOST, LENGTH, b"X-A:"),
    "blanks only": request(HOST, LENGTH, b"X-A:   "),
    "blank behind a value": request(HOST, LENGTH, b"X-A: b "),
    "two blanks before a value": request(HOST, LENGTH, b"X-A:  b"),
    "tab in a value": request(HOST, LENGTH, b"X-A: b\tc"),
    "blank before the colon": request(HOST, b"Content-Length : 15"),
    "no colon": request(HOST, LENGTH, b"X-A"),
    "no name": request(HOST, LENGTH, b": b"),
    "brackets in a name": request(HOST, LENGTH, b"X(A): b"),
    "nul in a value": request(HOST, LENGTH, b"X-A: b\x00c"),
    "return in a value": request(HOST, LENGTH, b"X-A: b\rc"),
    "line feed in a value": request(HOST, LENGTH, b"X-A: b\nX-B: c"),
    "delete in a value": request(HOST, LENGTH, b"X-A: b\x7f"),
    "not ASCII": request(HOST, LENGTH, b"X-A: \xc3\xa4"),
    "too many headers": request(HOST, LENGTH, *(b"X-%d: y" % number for number in range(15))),
    "large head": request(HOST, LENGTH, b"X-A: " + b"a" * 2_000),
    "too large a head": request(HOST, LENGTH, b"X-A: " + b"a" * 3_000),
    "noise": b"\x16\x03\x01\x02\x00",
}


@pytest.mark.parametrize("delay_turns", [0, 3])
@pytest.mark.parametrize("name", [*GOES_SHORT, *GOES_LONG])
async def test_a_request_is_answered_alike_on_both_ways(name: str, delay_turns: int) -> None:
    # uvicorn itself reads what follows an upgrade it does not know otherwise when it comes later.
    dribble = not name.startswith("upgrade")
    short, long, taken = await both([(GOES_SHORT | GOES_LONG)[name]], delay_turns=delay_turns, dribble=dribble)
    assert short == long
    assert taken == (name in GOES_SHORT)


@pytest.mark.parametrize("at", range(1, len(PLAIN)))
async def test_a_request_in_two_reads_goes_the_long_way(at: int) -> None:
    short, long, taken = await both([PLAIN[:at], PLAIN[at:]])
    assert short == long
    assert taken == 0


@pytest.mark.parametrize("name", [*GOES_SHORT, *GOES_LONG])
async def test_answers_come_in_the_order_of_requests(name: str) -> None:
    """The others come while the first is under way."""
    odd = (GOES_SHORT | GOES_LONG)[name]
    reads = [PLAIN, odd, request(HOST, b"Content-Length: 4", body=b"last")]
    short, long, taken = await both(reads, delay_turns=3, dribble=False)
    assert short == long
    assert taken == 1


@pytest.mark.parametrize("name", [*GOES_SHORT, *GOES_LONG])
async def test_the_ways_may_take_turns_on_a_connection(name: str) -> None:
    odd = (GOES_SHORT | GOES_LONG)[name]
    connections = [Connection(Door(1)), Connection(Door(1), short=False)]
    for each in [PLAIN, odd, PLAIN, PLAIN[:30], PLAIN[30:], PLAIN]:
        for connection in connections:
            connection.send(each)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    assert await connections[0].answered() == await connections[1].answered()


MUTATED = st.lists(
    st.tuples(
        st.integers(0, len(PLAIN)),
        st.integers(0, 3),
        st.one_of(
            st.binary(max_size=3),
            st.sampled_from(
                [b"\r\n", b" ", b":", b",", b"\t", b"0", b"Content-Length: 3\r\n", b"Connection: close\r\n"]
            ),
        ),
    ),
    max_size=4,
)


@given(MUTATED, st.integers(0, 2), st.booleans())
def test_mutated_requests_are_answered_alike(mutations: Any, delay_turns: int, twice: bool) -> None:
    raw = PLAIN
    for at, cut, inserted in mutations:
        raw = raw[:at] + inserted + raw[at + cut :]
    short, long, _ = asyncio.run(both([raw, PLAIN] if twice else [raw], delay_turns=delay_turns))
    assert short == long


LINES = st.lists(
    st.one_of(
        st.sampled_from([HOST, KEY, LENGTH, b"Content-Length: 14", b"Connection: keep-alive", b"Connection: close"]),
        st.sampled_from(
            [b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Upgrade: h2c", b" folded", b"TE: x"]
        ),
        st.binary(max_size=8).map(lambda value: b"X-A: " + value),
        st.binary(max_size=6).map(lambda name: name + b": b"),
    ),
    max_size=7,
)


@given(LINES, st.sampled_from([BODY, b"", b"0\r\n\r\n", b"5\r\n12345\r\n0\r\n\r\n"]), st.booleans())
def test_requests_of_odd_lines_are_answered_alike(lines: list[bytes], body: bytes, usual: bool) -> None:
    short, long, _ = asyncio.run(both([request(*([HOST, LENGTH] if usual else []), *lines, body=body)]))
    assert short == long


async def test_a_door_may_leave_a_request_to_the_long_way() -> None:
    connection = Connection(Door())
    connection.door.refuse = True
    assert await connection.send(PLAIN).answered() == (await both([PLAIN]))[1]


async def test_a_client_that_is_gone_gets_no_answer() -> None:
    connection = Connection(Door(2))
    connection.send(PLAIN).protocol.connection_lost(None)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert (connection.door.taken, connection.pipe.written) == (1, b"")


async def test_a_stop_waits_for_the_answer_and_says_that_it_is_the_last() -> None:
    outcomes = []
    for short in (True, False):
        connection = Connection(Door(3), short=short).send(PLAIN)
        connection.protocol.shutdown()
        assert not connection.pipe.closing
        outcomes.append(await connection.answered())
    assert outcomes[0] == outcomes[1]
    assert (b"connection: close" in outcomes[0][0], outcomes[0][1]) == (True, True)


async def test_a_stop_ends_an_idle_connection_at_once() -> None:
    connection = Connection(Door()).send(PLAIN)
    connection.protocol.shutdown()
    assert connection.pipe.closing


async def test_an_idle_connection_has_a_time_to_live_and_a_busy_one_has_not() -> None:
    connection = Connection(Door(1)).send(PLAIN)
    assert connection.protocol.timeout_keep_alive_task is None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert connection.protocol.timeout_keep_alive_task is not None


async def test_an_idle_connection_ends_when_its_time_is_over_counted_from_the_last_answer() -> None:
    connection = Connection(Door())
    connection.protocol.timeout_keep_alive = 600
    connection.send(PLAIN).send(PLAIN)
    assert connection.door.taken == 2
    connection.protocol.timeout_keep_alive_handler()  # the timer of the first answer, too early for the second
    assert not connection.pipe.closing
    assert connection.protocol.timeout_keep_alive_task is not None
    connection.protocol.timeout_keep_alive = 0
    connection.protocol.timeout_keep_alive_handler()
    assert connection.pipe.closing


async def test_a_connection_with_a_request_under_way_is_not_idle() -> None:
    connection = Connection(Door(2)).send(PLAIN)
    for _ in range(4):
        await asyncio.sleep(0)
    connection.protocol.timeout_keep_alive = 0
    connection.send(PLAIN).protocol.timeout_keep_alive_handler()
    assert (connection.door.taken, connection.pipe.closing) == (2, False)


async def test_a_head_that_came_before_is_known_by_its_very_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_way, "_HEADS_MAX", 2)
    way = ShortWay(PATH, Door().take)
    first = way.head(PLAIN, SETTINGS)
    assert first is not None
    assert way.head(PLAIN, SETTINGS) is first
    assert way.head(PLAIN + b"x", SETTINGS) is None
    assert way.head(PLAIN[:-1], SETTINGS) is None
    for other in (b"X-API-Key: scast_2", b"X-API-Key: scast_3"):
        found = way.head(request(HOST, other, LENGTH), SETTINGS)
        assert found is not None
        assert found.fields[b"x-api-key"] == other[11:]
    again = way.head(PLAIN, SETTINGS)
    assert again is not None
    assert (again is first, again.fields) == (False, first.fields)


def test_only_heads_of_ordinary_size_are_remembered() -> None:
    way = ShortWay(PATH, Door().take)
    long = request(HOST, LENGTH, b"X-Long: " + b"y" * 1_024)
    found = [way.head(long, SETTINGS) for _ in range(2)]
    assert [each is not None for each in found] == [True, True]
    assert found[0] is not found[1]


async def test_nothing_goes_the_short_way_while_the_client_does_not_read() -> None:
    connection = Connection(Door())
    connection.protocol.pause_writing()
    connection.send(PLAIN)
    assert connection.door.taken == 0
    connection.protocol.resume_writing()
    assert await connection.answered() == (await both([PLAIN]))[1]
