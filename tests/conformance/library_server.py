"""An application on sensorcast's Socket.IO layer alone, using all of it: what its stock clients see is tested.

    python library_server.py --port PORT

It has no state of its own.
"""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn

from sensorcast.transport.limits import Limits
from sensorcast.transport.namespace import ConnectRefused
from sensorcast.transport.server import SocketServer
from sensorcast.transport.socket import Socket
from sensorcast.wire.socketio import DecodeLimits

server = SocketServer(limits=Limits(decode=DecodeLimits(max_attachments=10)))
root, guarded = server.namespace("/"), server.namespace("/guarded")


@root.on("ask")
async def ask(socket: Socket, question: Any) -> Any:
    return await socket.call("question", question)


@root.on("ask-in-vain")
async def ask_in_vain(socket: Socket) -> str:
    try:
        await socket.call("nobody-answers", timeout_s=0.1)
    except TimeoutError:
        return "timed out"
    return "answered"


@guarded.use
async def check(socket: Socket, auth: dict[str, Any]) -> None:
    if auth.get("token") != "right":
        raise ConnectRefused("not you", {"code": "wrong_token", "hint": ["é"]})


@root.on("join")
def join(socket: Socket, room: str) -> None:
    socket.join(room)


@root.on("leave")
def leave(socket: Socket, room: str) -> None:
    socket.leave(room)


@root.on("shout")
def shout(socket: Socket, text: str, room: str, except_rooms: list[str]) -> None:
    root.emit("heard", text, rooms=[room], except_rooms=except_rooms)


@root.on("kick")
def kick(socket: Socket) -> None:
    socket.disconnect()


@root.on("kick-out")
def kick_out(socket: Socket) -> None:
    socket.disconnect(close=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(server.asgi(), port=parser.parse_args().port, ws=server.websocket_class, log_level="warning")
