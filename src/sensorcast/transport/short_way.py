"""The short way of a plain request: from the bytes of one read to the bytes of its answer, without uvicorn between.

Owns which requests are plain, and the place such a request takes in uvicorn's order while it is under way. uvicorn's
parser, its task, its messages and its cycle cost more than taking a reading in. The invariant: what goes the short way
is answered as it would have been by uvicorn, and is a request that no two servers could read differently; everything
that is unusual in any way is not plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from sensorcast.http_errors import HttpAnswer
from sensorcast.settings import Settings

if TYPE_CHECKING:
    from sensorcast.transport.http_guard import GuardedHttpProtocol

_LINE: Final = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([!-~][ -~]*+)(?<! )\r\n"
"""A header whose value is there, in ASCII, without tabs and without blanks around it, all on its line."""
_LINES: Final = re.compile(rb"(?:%b)+" % _LINE)
_FIELD: Final = re.compile(_LINE)
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"[1-9][0-9]{0,8}")
_HEADS_MAX: Final = 1_024
"""Heads remembered by their text: a sender says the same again and again, but for a few lengths. Beyond it the oldest
is read anew. Anybody can fill it, known or not, so only ordinary ones are remembered: some 4 MiB at worst."""
_HEAD_BYTES_MAX: Final = 1_024
_UNUSUAL: Final = frozenset(
    b"content-encoding expect http2-settings keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
"""What says something about the connection or the form of the body."""


class Take(Protocol):
    """Whoever answers requests that came the short way."""

    def __call__(self, head: PlainHead, body: bytes, answer: Callable[[HttpAnswer], None], /) -> bool:
        """Call `answer` once, now or later, and give True; or give False when the request must go the long way."""


class ShortWay:
    """The one path whose POST requests may go it, and who takes them."""

    def __init__(self, path: str, take: Take) -> None:
        self.take = take
        self._heads: dict[bytes, PlainHead] = {}
        self._opening = f"POST {path} HTTP/1.1\r\n".encode()

    def head(self, data: bytes, settings: Settings) -> PlainHead | None:
        """Give the head, if what was read is exactly one plain request for the path; None otherwise."""
        if not data.startswith(self._opening):
            return None
        end = data.find(_END) + len(_END)
        if not len(_END) <= end <= settings.header_max_bytes:
            return None
        text = data[:end]
        head = self._heads.get(text) or self._read(text, settings)
        return head if head is not None and head.body_bytes == len(data) - end else None

    def _read(self, text: bytes, settings: Settings) -> PlainHead | None:
        fields = _plain_fields(text[len(self._opening) : -2], settings.header_max_count)
        length = b"" if fields is None else fields.get(b"content-length", b"")
        if fields is None or _LENGTH.fullmatch(length) is None:
            return None
        head = PlainHead(len(text), fields, int(length))
        if len(text) <= _HEAD_BYTES_MAX:
            if len(self._heads) >= _HEADS_MAX:
                del self._heads[next(iter(self._heads))]
            self._heads[text] = head
        return head


class PlainHead:
    """The head of a plain request."""

    __slots__ = ("body_bytes", "fields", "known", "size_bytes")

    def __init__(self, size_bytes: int, fields: Mapping[bytes, bytes], body_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.fields = fields
        """By name in lower case; none was repeated."""
        self.body_bytes = body_bytes
        self.known: object = None
        """What whoever takes requests has found out about this very text."""


def _plain_fields(lines: bytes, max_count: int) -> Mapping[bytes, bytes] | None:
    if _LINES.fullmatch(lines) is None:
        return None
    pairs = _FIELD.findall(lines)
    fields = {name.lower(): value for name, value in pairs}
    if not len(fields) == len(pairs) <= max_count or b"host" not in fields or not _UNUSUAL.isdisjoint(fields):
        return None
    return fields if fields.get(b"connection", b"keep-alive").lower() == b"keep-alive" else None


class _Nobody:
    """An event for which nobody waits."""

    def set(self) -> None:
        pass


class ShortCycle:
    """A request under way, in the place of uvicorn's cycle: requests behind it wait, a stop waits for its answer."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete")
    message_event: Final = _Nobody()

    def __init__(self, protocol: GuardedHttpProtocol) -> None:
        self._protocol = protocol
        self.keep_alive = True
        self.disconnected = self.response_complete = False

    def answer(self, answer: HttpAnswer) -> None:
        """Write the answer, unless nobody is left to read it."""
        if self.disconnected:
            return
        self.response_complete = True
        protocol = self._protocol
        protocol.transport.write(_written(answer, protocol.server_state.default_headers, keep_alive=self.keep_alive))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.short_answer_written()


def _written(answer: HttpAnswer, default_headers: Sequence[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
    last = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    defaults, own = _lines(tuple(default_headers)), _lines(tuple(answer.headers))
    return b"".join((STATUS_LINE[answer.status], defaults, own, last, answer.body))


@lru_cache(maxsize=512)  # the same headers again and again, but for lengths
def _lines(pairs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])
