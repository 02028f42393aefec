"""Socket.IO v5: events, acknowledgements and binary attachments, and every malformed packet that must close."""

from __future__ import annotations

import pytest

from .clients import SEPARATOR, SOCKET_PATH, Polling, Target, WebSocket, connect_namespace

ONE_PLACEHOLDER = '{"_placeholder":true,"num":0}'
TWO_PLACEHOLDERS = f'{ONE_PLACEHOLDER},{{"_placeholder":true,"num":1}}'

# JSON texts that come back byte for byte, so that both targets can be held to the same words.
ARGUMENTS = pytest.mark.parametrize(
    "arguments",
    [
        pytest.param('1,"2",{"3":[true,false,null]}', id="every json type"),
        pytest.param('"é € 🌡️ 👩🏽‍🔬"', id="multi-byte text"),
        pytest.param('"\\u0000\\u001f\\"\\\\"', id="escapes"),
        pytest.param("-0.5,9007199254740991,-9007199254740991", id="numbers"),
        pytest.param('{"__proto__":{"x":1},"constructor":{"prototype":{"y":2}}}', id="prototype keys"),
        pytest.param('{"":1,"toString":2,"hasOwnProperty":3,"length":4}', id="names every object has"),
        pytest.param('{"_placeholder":true,"num":0}', id="placeholder where none is due"),
        pytest.param('[[[[["five"]]]]]', id="nested"),
        pytest.param('"' + "x" * 70_000 + '"', id="70,000 bytes"),
    ],
)


@pytest.fixture(params=["websocket", "polling"])
async def client(request: pytest.FixtureRequest, server: Target) -> WebSocket | Polling:
    """A client connected to the main namespace."""
    opened = await (server.websocket if request.param == "websocket" else server.polling)(SOCKET_PATH)
    await connect_namespace(opened)
    return opened


@pytest.fixture
async def websocket(server: Target) -> WebSocket:
    """A client connected to the main namespace over websocket, the only transport with binary frames."""
    opened = await server.websocket(SOCKET_PATH)
    await connect_namespace(opened)
    return opened


@ARGUMENTS
async def test_event_comes_back_with_its_arguments(client: WebSocket | Polling, arguments: str) -> None:
    await client.send(f'42["message",{arguments}]')

    assert await client.receive() == f'42["message-back",{arguments}]'


@ARGUMENTS
async def test_event_with_ack_is_acknowledged_with_its_arguments(client: WebSocket | Polling, arguments: str) -> None:
    await client.send(f'42456["message-with-ack",{arguments}]')

    assert await client.receive() == f"43456[{arguments}]"


async def test_event_without_arguments(client: WebSocket | Polling) -> None:
    await client.send('42["message"]')

    assert await client.receive() == '42["message-back"]'


async def test_ack_without_arguments(client: WebSocket | Polling) -> None:
    await client.send('420["message-with-ack"]')

    assert await client.receive() == "430[]"


@pytest.mark.parametrize("ack_id", ["0", "1", "9007199254740991"])
async def test_ack_id_comes_back(client: WebSocket | Polling, ack_id: str) -> None:
    await client.send(f'42{ack_id}["message-with-ack","x"]')

    assert await client.receive() == f'43{ack_id}["x"]'


async def test_main_namespace_may_be_named(client: WebSocket | Polling) -> None:
    await client.send('42/,["message","x"]')

    assert await client.receive() == '42["message-back","x"]'


async def test_websocket_event_with_attachments(websocket: WebSocket) -> None:
    await websocket.send(f'452-["message",{TWO_PLACEHOLDERS}]')
    await websocket.send(b"\x01\x02\x03")
    await websocket.send(b"\x04\x05\x06")

    received = [await websocket.receive() for _ in range(3)]
    assert received == [f'452-["message-back",{TWO_PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_websocket_attachments_may_be_nested_and_empty(websocket: WebSocket) -> None:
    await websocket.send(f'451-["message",{{"a":[{{"b":{ONE_PLACEHOLDER}}}]}}]')
    await websocket.send(b"")

    assert await websocket.receive() == f'451-["message-back",{{"a":[{{"b":{ONE_PLACEHOLDER}}}]}}]'
    assert await websocket.receive() == b""


async def test_websocket_binary_with_ack(websocket: WebSocket) -> None:
    await websocket.send(f'452-789["message-with-ack",{TWO_PLACEHOLDERS}]')
    await websocket.send(b"\x01")
    await websocket.send(b"\x02")

    assert [await websocket.receive() for _ in range(3)] == [f"462-789[{TWO_PLACEHOLDERS}]", b"\x01", b"\x02"]


async def test_polling_event_with_attachments(server: Target) -> None:
    polling = await server.polling(SOCKET_PATH)
    await connect_namespace(polling)

    await polling.send(f'452-["message",{TWO_PLACEHOLDERS}]', "bAQID", "bBAUG")

    received = [await polling.receive() for _ in range(3)]
    assert received == [f'452-["message-back",{TWO_PLACEHOLDERS}]', "bAQID", "bBAUG"]


async def test_polling_attachments_may_come_in_several_requests(server: Target) -> None:
    polling = await server.polling(SOCKET_PATH)
    await connect_namespace(polling)

    await polling.send(f'451-1["message-with-ack",{ONE_PLACEHOLDER}]')
    await polling.send("bAQID")

    assert [await polling.receive() for _ in range(2)] == [f"461-1[{ONE_PLACEHOLDER}]", "bAQID"]


async def test_ten_attachments_are_taken(websocket: WebSocket) -> None:
    placeholders = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(10))

    await websocket.send(f'4510-["message",{placeholders}]')
    for number in range(10):
        await websocket.send(bytes([number]))

    assert await websocket.receive() == f'4510-["message-back",{placeholders}]'
    assert [await websocket.receive() for _ in range(10)] == [bytes([number]) for number in range(10)]


async def test_heartbeat_between_attachments_is_taken(server: Target) -> None:
    websocket = await server.websocket(SOCKET_PATH)
    await connect_namespace(websocket)
    await websocket.send(f'451-["message",{ONE_PLACEHOLDER}]')

    assert await websocket.next_message() == "2"
    await websocket.send("3")
    await websocket.send(b"\x01")

    assert await websocket.receive() == f'451-["message-back",{ONE_PLACEHOLDER}]'


async def test_40_events_in_one_payload_are_answered_in_order(server: Target) -> None:
    polling = await server.polling(SOCKET_PATH)
    await connect_namespace(polling)
    numbers = range(40)

    await polling.send(*(f'42{number}["message-with-ack",{number}]' for number in numbers))

    assert [await polling.receive() for _ in numbers] == [f"43{number}[{number}]" for number in numbers]


@pytest.mark.parametrize(
    "packet",
    [
        '42["no such event"]',
        '42["__proto__",1]',
        '42["constructor"]',
        '42["toString"]',
        '42["message-with-ack","no ack wanted"]',
        '4399["an ack nobody asked for"]',
        '43/custom,1["x"]',
    ],
)
async def test_packet_without_a_taker_is_harmless(client: WebSocket | Polling, packet: str) -> None:
    if "/custom" in packet:
        await connect_namespace(client, "/custom")

    await client.send(packet)
    await client.send('42["message","after"]')

    assert await client.receive() == '42["message-back","after"]'


CLOSING = [
    pytest.param("4abc", id="unknown type"),
    pytest.param("47", id="type 7"),
    pytest.param("42{}", id="payload is an object"),
    pytest.param('42"message"', id="payload is a string"),
    pytest.param("42[", id="payload cut off"),
    pytest.param("42[]", id="no event name"),
    pytest.param("42[null]", id="event name null"),
    pytest.param("42[{}]", id="event name an object"),
    pytest.param("42[true]", id="event name a boolean"),
    pytest.param('42["message",NaN]', id="NaN"),
    pytest.param('42["message",Infinity]', id="Infinity"),
    pytest.param('42["message","a\nb"]', id="raw newline in a string"),
    pytest.param('42["message",1]x', id="trailing text"),
    pytest.param('421["message",1]1', id="trailing digit"),
    pytest.param('42abc["message-with-ack","x"]', id="ack id not a number"),
    pytest.param('42-1["message-with-ack","x"]', id="ack id negative"),
    pytest.param('421.5["message-with-ack","x"]', id="ack id a fraction"),
    pytest.param("431{}", id="ack payload an object"),
    pytest.param('42["connect"]', id="reserved connect"),
    pytest.param('42["connect_error",{}]', id="reserved connect_error"),
    pytest.param('42["disconnect"]', id="reserved disconnect"),
    pytest.param('42["disconnecting"]', id="reserved disconnecting"),
    pytest.param('42["newListener"]', id="reserved newListener"),
    pytest.param('42["removeListener"]', id="reserved removeListener"),
    pytest.param('4599999-["message"]', id="99999 attachments"),
    pytest.param('4511-["message"]', id="11 attachments"),
    pytest.param('45-["message"]', id="no attachment count"),
    pytest.param('45["message"]', id="no attachment count and no dash"),
    pytest.param('45-1-["message"]', id="negative attachment count"),
    pytest.param('451.5-["message"]', id="fractional attachment count"),
    pytest.param("45" + "9" * 5_000 + '-["message"]', id="attachment count of 5,000 digits"),
    pytest.param('45٣-["message"]', id="attachment count in Arabic digits"),
    pytest.param('451-["message"]' + SEPARATOR + '42["message"]', id="text while an attachment is due"),
    pytest.param("bAQID", id="attachment nobody announced"),
    pytest.param('450-["message"]' + SEPARATOR + "bAQID", id="zero attachments and then one"),
]

PLACEHOLDERS = [
    pytest.param("1", id="out of range"),
    pytest.param("-1", id="negative"),
    pytest.param('"0"', id="a string"),
    pytest.param('"__proto__"', id="the prototype"),
    pytest.param('"length"', id="a property of arrays"),
    pytest.param("null", id="null"),
    pytest.param("[0]", id="an array"),
    pytest.param("1e300", id="huge"),
]


@pytest.mark.parametrize("packet", CLOSING)
async def test_malformed_packet_closes_a_websocket(websocket: WebSocket, server: Target, packet: str) -> None:
    for message in packet.split(SEPARATOR):
        await websocket.send(b"\x01\x02\x03" if message == "bAQID" else message)

    await websocket.wait_closed()


@pytest.mark.parametrize("packet", CLOSING)
async def test_malformed_packet_closes_a_polling_session(server: Target, packet: str) -> None:
    polling = await server.polling(SOCKET_PATH)
    await connect_namespace(polling)

    await polling.post(packet)

    while (reply := await polling.get()).status == 200:
        assert set(reply.text.split(SEPARATOR)) <= {"1", "2", "6"}


async def test_attachment_count_must_be_plain_digits(websocket: WebSocket, server: Target) -> None:
    await websocket.send('451e1-["message"]')

    # The reference reads the number as JavaScript does, and waits for ten attachments.
    if server.is_reference:
        for number in range(10):
            await websocket.send(bytes([number]))
        assert await websocket.receive() == '42["message-back"]'
        return
    await websocket.wait_closed()


@pytest.mark.parametrize("number", PLACEHOLDERS)
async def test_placeholder_without_its_attachment_closes(websocket: WebSocket, number: str) -> None:
    await websocket.send(f'451-["message",{{"_placeholder":true,"num":{number}}}]')
    await websocket.send(b"\x01")

    await websocket.wait_closed()


@pytest.mark.parametrize("number", ["0.5", "true"])
async def test_placeholder_number_must_be_an_integer(websocket: WebSocket, server: Target, number: str) -> None:
    await websocket.send(f'451-["message",{{"_placeholder":true,"num":{number}}}]')
    await websocket.send(b"\x01")

    # The reference looks up `buffers[0.5]`, finds nothing and delivers null.
    if server.is_reference and number == "0.5":
        assert await websocket.receive() == '42["message-back",null]'
        return
    await websocket.wait_closed()


@pytest.mark.parametrize("packet", ["42", "43[]", '42["message","\\ud800"]', '42["message",1e400]'])
async def test_packet_no_peer_could_make_sense_of_closes(server: Target, packet: str) -> None:
    # An event without a name, an ack without an id, a lone surrogate and a number no double can hold. The reference
    # lets them pass; what enters sensorcast may be sent to others, so it must be what every peer can read.
    websocket = await server.websocket(SOCKET_PATH)
    await connect_namespace(websocket)

    await websocket.send(packet)

    if server.is_reference:
        await websocket.send('42["message","after"]')
        while await websocket.receive() != '42["message-back","after"]':
            pass
        return
    await websocket.wait_closed()


@pytest.mark.parametrize("server", ["sensorcast"], indirect=True)
async def test_json_100_000_levels_deep_closes(server: Target) -> None:
    # The reference dies of it: the stack overflows outside of any handler when it encodes the answer.
    websocket = await server.websocket(SOCKET_PATH)
    await connect_namespace(websocket)

    await websocket.send('42["message",' + "[" * 100_000 + "]" * 100_000 + "]")

    await websocket.wait_closed()
