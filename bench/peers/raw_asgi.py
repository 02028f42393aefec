"""The least an ASGI application can do with readings: decode them and answer. `uvicorn bench.peers.raw_asgi:app`."""

from __future__ import annotations

from typing import Any

import msgspec


class Item(msgspec.Struct, rename="camel"):
    unit_id: str
    recorded_at: str
    temperature: float | None = None
    humidity: float | None = None
    battery: int | None = None
    signal_strength: int | None = None


class Body(msgspec.Struct):
    readings: list[Item]


DECODER = msgspec.json.Decoder(Body)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b'{"insertedCount":%d}' % len(DECODER.decode(body).readings)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
