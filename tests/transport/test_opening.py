"""The opening of a WebSocket: which requests become one, and which of them get compressed frames."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from sensorcast.transport.opening import _query, open_websocket
from sensorcast.wire.frame import Frame
from tests.transport.fakes import Peer, Server, batch, flush

REFUSALS = {
    "no version": ("transport=websocket", 400),
    "version 3": ("EIO=3&transport=websocket", 400),
    "no transport": ("EIO=4", 400),
    "polling over websocket": ("EIO=4&transport=polling", 400),
    "unknown session": ("EIO=4&transport=websocket&sid=nobody", 400),
    "empty session": ("EIO=4&transport=websocket&sid=", 400),
    "no query": ("", 400),
}


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.mark.parametrize(("query", "status"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_request_that_may_not_open_is_refused_with_its_reason(server: Server, query: str, status: int) -> None:
    peer = server.connect(query)
    assert peer.status == status
    assert peer.response is not None
    assert peer.response.body
    assert peer.transport.closing
    assert server.sids == []


@pytest.mark.parametrize("target", ["/", "/engine", "/engine.io/x", "/other/?EIO=4&transport=websocket"])
async def test_another_path_is_not_found(server: Server, target: str) -> None:
    assert Peer(server.websocket_class, target).status == 404


async def test_the_slash_at_the_end_of_the_path_may_be_left_out(server: Server) -> None:
    assert Peer(server.websocket_class, "/engine.io?EIO=4&transport=websocket").status == 101


ORIGINS = {
    "own": ([("Origin", "https://server.test")], 101),
    "none": ([], 101),
    "another": ([("Origin", "https://evil.test")], 403),
    "own and another": ([("Origin", "https://server.test"), ("Origin", "https://evil.test")], 403),
}


@pytest.mark.parametrize(("headers", "status"), ORIGINS.values(), ids=ORIGINS.keys())
async def test_only_pages_of_our_origin_may_open(server: Server, headers: list[tuple[str, str]], status: int) -> None:
    assert server.connect(headers=headers).status == status


BROKEN_HANDSHAKES = {
    "two keys": ([("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")], 400),
    "two versions": ([("Sec-WebSocket-Version", "13")], 426),
    "two hosts with an origin": ([("Host", "evil.test"), ("Origin", "https://evil.test")], 403),
}


@pytest.mark.parametrize(("headers", "status"), BROKEN_HANDSHAKES.values(), ids=BROKEN_HANDSHAKES.keys())
async def test_what_a_handshake_says_twice_does_not_count(
    server: Server, headers: list[tuple[str, str]], status: int
) -> None:
    assert server.connect(headers=headers).status == status
    assert server.sids == []


KEY = b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
TARGET = b"/engine.io/?EIO=4&transport=websocket"
HEADS = {
    "of the example in RFC 6455": (b"GET " + TARGET + b" HTTP/1.1\r\n" + KEY + VERSION + b"\r\n", 101),
    "without a key": (b"GET " + TARGET + b" HTTP/1.1\r\n" + VERSION + b"\r\n", 400),
    "with a short key": (
        b"GET " + TARGET + b" HTTP/1.1\r\nConnection: Upgrade\r\nSec-WebSocket-Key: YQ==\r\n" + VERSION + b"\r\n",
        400,
    ),
    "with a key that is not base64": (b"GET " + TARGET + b" HTTP/1.1\r\nSec-WebSocket-Key: \xff\r\n" + VERSION, 400),
    "without a version": (b"GET " + TARGET + b" HTTP/1.1\r\n" + KEY + b"\r\n", 426),
    "of another version": (b"GET " + TARGET + b" HTTP/1.1\r\n" + KEY + b"Sec-WebSocket-Version: 8\r\n\r\n", 426),
    "of another method": (b"POST " + TARGET + b" HTTP/1.1\r\n" + KEY + VERSION + b"\r\n", 400),
    "that is empty": (b"\r\n", 404),
    "without spaces": (b"GET\r\n\r\n", 404),
    "of bytes beyond ascii": (b"GET /\xff\xfe HTTP/1.1\r\n\xff: \xff\r\n\r\n", 404),
}


@pytest.mark.parametrize(("head", "status"), HEADS.values(), ids=HEADS.keys())
async def test_a_head_is_answered_by_the_rules_of_the_handshake(server: Server, head: bytes, status: int) -> None:
    opening = open_websocket(head, server.websocket_class.endpoints)
    assert opening.response.startswith(f"HTTP/1.1 {status} ".encode())
    assert (opening.endpoint is server.endpoint) == (status == 101)


async def test_the_answer_proves_that_the_key_was_read(server: Server) -> None:
    opening = open_websocket(HEADS["of the example in RFC 6455"][0], server.websocket_class.endpoints)
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in opening.response


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"GET ", TARGET, b" HTTP/1.1", b"\r\n", b":", KEY])).map(b"".join)
)
def test_no_head_makes_the_opening_raise(head: bytes) -> None:
    server = Server()
    opening = open_websocket(head, server.websocket_class.endpoints)
    assert opening.response.startswith(b"HTTP/1.1 ")
    assert opening.response.partition(b"\r\n\r\n")[1]


@given(st.text(alphabet="ab=&%+;1 ", max_size=30))
def test_the_short_way_through_a_query_comes_to_what_the_long_one_does(text: str) -> None:
    assert _query(text) == dict(parse_qsl(text, keep_blank_values=True))


async def test_the_first_packet_is_the_handshake_of_the_session(server: Server) -> None:
    peer = server.connect()
    [opening] = peer.frames()
    assert json.loads(bytes(opening.data)[1:])["sid"] == "s0"


# Compression

LONG = "4" + "temperature " * 100


@pytest.fixture
async def deflating() -> Server:
    return Server(permessage_deflate=True)


async def test_a_peer_that_asks_for_it_gets_compressed_frames_that_it_can_read(deflating: Server) -> None:
    peer = deflating.connect(extensions=[ClientPerMessageDeflateFactory()])
    peer.frames()
    for number in range(3):
        peer.carrier.send(Frame(LONG.encode(), (bytes(2_000), b"short")))
        peer.carrier.deliver(flush(batch("u1", number, size=1_000), batch("u2", number)))
    assert len(peer.transport.sent) < 1_000
    assert peer.received[:5] == [LONG, bytes(2_000), b"short", f'42["batch","u1",0]{" " * 1_000}', '42["batch","u2",0]']
    assert len(peer.received) == 0


async def test_a_peer_that_does_not_ask_gets_nothing_compressed(deflating: Server) -> None:
    peer = deflating.connect()
    peer.carrier.deliver(flush(Frame(LONG.encode())))
    assert peer.received == [LONG]


async def test_a_peer_with_a_smaller_window_gets_nothing_compressed(deflating: Server) -> None:
    peer = deflating.connect(extensions=[ClientPerMessageDeflateFactory(server_max_window_bits=9)])
    peer.frames()
    peer.carrier.deliver(flush(Frame(LONG.encode())))
    assert len(peer.transport.sent) > len(LONG)
    assert peer.received == [LONG]


OFFERS = {
    "none": ("", False),
    "another extension": ("x-webkit-deflate-frame", False),
    "plain": ("permessage-deflate", True),
    "of a browser": ("permessage-deflate; client_max_window_bits", True),
    "unknown parameter": ("permessage-deflate; level=9", False),
    "unknown parameter, then plain": ("permessage-deflate; level=9, permessage-deflate", True),
    "parameter twice": ("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", False),
    "window out of range": ("permessage-deflate; server_max_window_bits=99", False),
    "not a list of extensions": ("=;,\xff", False),
}


@pytest.mark.parametrize(("offer", "taken"), OFFERS.values(), ids=OFFERS.keys())
async def test_an_offer_that_cannot_be_kept_is_no_fault(deflating: Server, offer: str, taken: bool) -> None:
    line = f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode("latin-1")
    opening = open_websocket(
        b"GET " + TARGET + b" HTTP/1.1\r\n" + KEY + VERSION + line, {"/engine.io/": deflating.endpoint}
    )
    assert opening.response.startswith(b"HTTP/1.1 101 ")
    assert (opening.deflate is not None) == taken
    assert (b"permessage-deflate" in opening.response) == taken


async def test_nothing_is_compressed_where_it_is_not_offered(server: Server) -> None:
    peer = server.connect(extensions=[ClientPerMessageDeflateFactory()])
    peer.carrier.send(Frame(LONG.encode()))
    assert peer.received == [LONG]
    assert peer.protocol.extensions == []


async def test_compressed_messages_of_a_peer_are_read_within_the_limit_of_their_inflated_size(
    deflating: Server,
) -> None:
    peer = deflating.connect(extensions=[ClientPerMessageDeflateFactory()])
    peer.frames()
    peer.send("4" + "x" * 50_000)
    assert deflating.handlers[0].messages == ["x" * 50_000]
    peer.send("4" + "x" * 100_001)
    assert peer.close_code == 1009
