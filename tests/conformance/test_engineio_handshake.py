"""Engine.IO v4: opening a session, and every way a request may fail to."""

from __future__ import annotations

import pytest

from .clients import ENGINE_PATH, SOCKET_PATH, Refused, Target

BOTH_PATHS = pytest.mark.parametrize("path", [ENGINE_PATH, SOCKET_PATH])

BAD_QUERIES = pytest.mark.parametrize(
    "query",
    [
        pytest.param("transport={transport}", id="no EIO"),
        pytest.param("EIO=abc&transport={transport}", id="EIO not a number"),
        pytest.param("EIO=3&transport={transport}", id="EIO of an older protocol"),
        pytest.param("EIO=4", id="no transport"),
        pytest.param("EIO=4&transport=abc", id="unknown transport"),
    ],
)


@BOTH_PATHS
async def test_polling_handshake_opens_a_session(server: Target, path: str) -> None:
    reply = await server.request("GET", f"{path}?EIO=4&transport=polling")
    polling = await server.polling(path)

    assert reply.status == 200
    assert reply.headers["content-type"].lower() == "text/plain; charset=utf-8"
    assert isinstance(polling.handshake.sid, str)
    assert polling.handshake.values == {
        "sid": polling.handshake.sid,
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }


@BOTH_PATHS
async def test_websocket_handshake_opens_a_session(server: Target, path: str) -> None:
    websocket = await server.websocket(path)

    assert websocket.handshake is not None
    assert websocket.handshake.values == {
        "sid": websocket.handshake.sid,
        "upgrades": [],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }


@BOTH_PATHS
@BAD_QUERIES
async def test_polling_handshake_with_a_bad_query_is_refused(server: Target, path: str, query: str) -> None:
    reply = await server.request("GET", f"{path}?{query.format(transport='polling')}")

    assert reply.status == 400


@BOTH_PATHS
@BAD_QUERIES
async def test_websocket_handshake_with_a_bad_query_is_refused(server: Target, path: str, query: str) -> None:
    url = f"{path}?{query.format(transport='websocket')}"
    if server.is_reference and "EIO=4" not in query:
        # It answers 101 and then writes the text of a 400 into the websocket; only the end of it can be seen.
        websocket = await server.raw_websocket(url)
        await websocket.wait_ended()
        return

    with pytest.raises(Refused) as refused:
        await server.raw_websocket(url)

    assert refused.value.reply.status == 400


@BOTH_PATHS
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_handshake_by_another_method_than_get_is_refused(server: Target, path: str, method: str) -> None:
    reply = await server.request(method, f"{path}?EIO=4&transport=polling")

    assert reply.status == 400


async def test_unknown_method_within_a_session_is_refused(server: Target) -> None:
    polling = await server.polling()

    reply = await server.request("PUT", polling.url)

    # The reference answers 500 to what is the caller's fault.
    assert reply.status == server.expect(sensorcast=400, reference=500)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_with_an_unknown_sid_is_refused(server: Target, method: str) -> None:
    reply = await server.request(method, f"{ENGINE_PATH}?EIO=4&transport=polling&sid=abc", body=b"4hello")

    assert reply.status == 400


async def test_websocket_with_an_unknown_sid_is_refused(server: Target) -> None:
    with pytest.raises(Refused) as refused:
        await server.raw_websocket(f"{ENGINE_PATH}?EIO=4&transport=websocket&sid=abc")

    assert refused.value.reply.status == 400


async def test_websocket_transport_without_an_upgrade_header_is_refused(server: Target) -> None:
    reply = await server.request("GET", f"{ENGINE_PATH}?EIO=4&transport=websocket")

    assert reply.status == 400


async def test_session_of_one_path_is_unknown_on_the_other(server: Target) -> None:
    polling = await server.polling(ENGINE_PATH)

    reply = await server.request("GET", f"{SOCKET_PATH}?EIO=4&transport=polling&sid={polling.handshake.sid}")

    assert reply.status == 400


async def test_session_ids_are_long_and_never_repeat(server: Target) -> None:
    sids = {(await server.polling()).handshake.sid for _ in range(50)}

    assert len(sids) == 50
    assert min(map(len, sids)) >= 20


async def test_server_listens_on_ipv6_too(server: Target) -> None:
    over_ipv6 = Target(server.name, server.port, "::1")
    try:
        websocket = await over_ipv6.websocket()
        await websocket.send("4hello")
        assert await websocket.receive() == "4hello"
    finally:
        over_ipv6.abort_all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("Sec-WebSocket-Key", ""), ("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "12")],
)
async def test_malformed_websocket_handshake_is_refused(server: Target, name: str, value: str) -> None:
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    changed = [(key, value if key == name else given) for key, given in headers]

    reply = await server.request("GET", f"{ENGINE_PATH}?EIO=4&transport=websocket", headers=changed)

    # RFC 6455 section 4.4 wants 426 for the version; the reference gives 400 to all.
    assert reply.status in server.expect(sensorcast=(400, 426), reference=(400,))
