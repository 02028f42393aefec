"""The server that protocol conformance suites are run against.

    python examples/conformance_server.py [--port 3000] [--ping-interval-ms 300] [--ping-timeout-ms 200]

On 127.0.0.1 and ::1. `/engine.io/` is a bare Engine.IO echo. `/socket.io/` has namespaces `/` and `/custom`: on connect
the handshake auth object comes back as event `auth`; on `/`, `message` is emitted back as `message-back` with the same
arguments and `message-with-ack` is answered with its arguments.
"""

import argparse
import asyncio
import socket as sockets

import uvicorn

from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Endpoint, Handshake
from sensorcast.transport.http import PollingRequests
from sensorcast.transport.limits import Limits
from sensorcast.transport.server import SocketServer
from sensorcast.transport.websocket import websocket_class
from sensorcast.wire.engineio import Timing
from sensorcast.wire.frame import Frame
from sensorcast.wire.socketio import DecodeLimits


class Echo:
    """Bare Engine.IO messages, sent back unchanged."""

    connect_by_s = None

    def __init__(self, connection: Connection, _handshake: Handshake) -> None:
        self._connection = connection

    def receive(self, message):
        text = isinstance(message, str)
        self._connection.send(Frame(b"4" + message.encode()) if text else Frame(b"", (message,)))

    def slowed(self): ...

    def restored(self): ...

    def closed(self, reason): ...


def build(limits: Limits):
    server = SocketServer(limits=limits)
    root, custom = server.namespace("/"), server.namespace("/custom")
    for namespace in (root, custom):
        # The middleware sees the auth object; the connect handler sends it back.
        @namespace.use
        def keep(socket, auth):
            socket.data = auth

        @namespace.on_connect
        def greet(socket):
            socket.emit("auth", socket.data)

    @root.on("message")
    def message(socket, *args):
        socket.emit("message-back", *args)

    @root.on("message-with-ack")
    def message_with_ack(socket, *args):
        return args

    return server, Endpoint("/engine.io/", Echo, limits=limits)


def listening(port: int) -> list[sockets.socket]:
    bound = []
    for family, address in ((sockets.AF_INET, "127.0.0.1"), (sockets.AF_INET6, "::1")):
        listener = sockets.socket(family, sockets.SOCK_STREAM)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if family == sockets.AF_INET6:
            listener.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 1)
        try:
            listener.bind((address, port))
        except OSError:
            # A machine without IPv6 still has the other address.
            if family == sockets.AF_INET:
                raise
            continue
        bound.append(listener)
    return bound


async def run(options: argparse.Namespace) -> None:
    limits = Limits(
        timing=Timing(
            ping_interval_s=options.ping_interval_ms / 1000,
            ping_timeout_s=options.ping_timeout_ms / 1000,
            connect_timeout_s=options.connect_timeout_ms / 1000,
            max_payload_bytes=1_000_000,
        ),
        decode=DecodeLimits(max_attachments=10),
        handshakes_per_s=10_000,
        events_per_s=options.events_per_s,
        events_burst=1_000,
        allowed_origins=tuple(options.allowed_origin),
        permessage_deflate=options.permessage_deflate,
    )
    server, echo = build(limits)
    polling = PollingRequests(echo)

    async def engine_io(scope, receive, send):
        if scope["type"] == "http" and scope["path"].startswith("/engine.io"):
            await polling(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    app = server.asgi(engine_io)
    echo.start(asyncio.get_running_loop())
    config = uvicorn.Config(app, ws=websocket_class([server.endpoint, echo]), lifespan="on", log_level="warning")
    await uvicorn.Server(config).serve(sockets=listening(options.port))
    echo.close_all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval-ms", type=int, default=300)
    parser.add_argument("--ping-timeout-ms", type=int, default=200)
    parser.add_argument("--connect-timeout-ms", type=int, default=1000)
    parser.add_argument("--events-per-s", type=float, default=1e6)
    parser.add_argument("--allowed-origin", action="append", default=[])
    parser.add_argument("--permessage-deflate", action="store_true")
    options = parser.parse_args()
    import uvloop

    uvloop.run(run(options))


if __name__ == "__main__":
    main()
