"""A chat on the Socket.IO layer alone: run it with `python examples/chat.py`, connect with any socket.io-client."""

import sys

import uvicorn

from sensorcast.transport.namespace import ConnectRefused
from sensorcast.transport.server import SocketServer
from sensorcast.transport.socket import Socket

server = SocketServer()
chat = server.namespace("/chat")


@chat.use
def authenticate(socket: Socket, auth: dict) -> None:
    if not auth.get("name"):
        raise ConnectRefused("a name, please", {"code": "no_name"})
    socket.data = auth["name"]


@chat.on("join")
def join(socket: Socket, room: str) -> str:
    socket.join(room)
    chat.emit("joined", socket.data, rooms=[room], except_rooms=[socket.id])
    return f"you are in {room}"  # the acknowledgement, if the client asked for one


@chat.on("poll")
async def poll(socket: Socket, question: str) -> list:
    return [await other.call("question", question, timeout_s=5) for other in list(chat.sockets.values())]


if __name__ == "__main__":
    uvicorn.run(server.asgi(), ws=server.websocket_class, port=int((sys.argv[1:] or ["8000"])[0]), log_level="warning")
