"""The opening of a WebSocket: which endpoint, allowed or not, and the answer to the handshake.

Owns the decisions between a request head and an open WebSocket (RFC 6455, section 4; extensions of RFC 7692). The
invariant: a request is checked by its endpoint before anything is kept for the peer, and a refused one gets its HTTP
status and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

_WINDOW_BITS: Final = 15
_DEFLATE: Final = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


class Opening(NamedTuple):
    """What became of a handshake. `endpoint` is None when it was refused; `response` must be sent in any case."""

    response: Response
    endpoint: Endpoint | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""


def read_request(protocol: ServerProtocol, data: bytes) -> Request | None:
    """Parse the head that uvicorn hands over; None when it is beyond the limits of the parser."""
    protocol.receive_data(data)
    for event in protocol.events_received():
        if isinstance(event, Request):
            return event
    return None


def open_websocket(protocol: ServerProtocol, request: Request, endpoints: Mapping[str, Endpoint]) -> Opening:
    """Decide on a request: the endpoint at its path may refuse it, then the handshake itself must be right."""
    path, _, query_text = request.path.partition("?")
    query, headers = dict(parse_qsl(query_text, keep_blank_values=True)), _joined(request.headers)
    endpoint = endpoints.get(path) or endpoints.get(path + "/")
    if endpoint is None:
        return Opening(protocol.reject(404, "Not found\n"), None, query, headers)
    refusal = endpoint.refusal(query, "websocket", "GET", origin=headers.get("origin"), host=headers.get("host"))
    if refusal is not None:
        return Opening(protocol.reject(refusal.status, refusal.message + "\n"), None, query, headers)
    protocol.max_message_size = endpoint.limits.timing.max_payload_bytes
    if endpoint.limits.permessage_deflate:
        protocol.available_extensions = [_DEFLATE]
    response = protocol.accept(request)
    return Opening(response, endpoint if response.status_code == 101 else None, query, headers)


def restart_parser(protocol: ServerProtocol) -> None:
    """Give an opened protocol a fresh parser of frames.

    The server's own goes on inside the generator that read the request, and would keep all its headers alive as long
    as the connection: 2 KiB of the 7.5 that an idle one costs.
    """
    protocol.parser = Protocol.parse(protocol)
    next(protocol.parser)


def may_deflate(protocol: ServerProtocol) -> bool:
    """Tell whether the peer can read frames that are compressed once for all.

    One that asked for a smaller window than the shared frames use gets them uncompressed, which is always allowed.
    """
    return any(
        isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits == _WINDOW_BITS
        for extension in protocol.extensions
    )


def _joined(headers: Headers) -> dict[str, str]:
    """Headers by lower-case name; values of a repeated one are joined, which no check of ours then matches."""
    joined: dict[str, str] = {}
    for name, value in headers.raw_items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined
