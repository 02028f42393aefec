"""Mutated packets, frames and requests: nearly right, which reaches deeper than noise.

Owns the seeds and the mutations. The invariant: everything follows from the random generator given, so that a seed
number reproduces a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Final

from tests.conformance import frames

PLACEHOLDER: Final = '{"_placeholder":true,"num":0}'
PACKETS: Final = (
    "40",
    '40{"token":"abc"}',
    "40/custom,",
    '40/custom,{"token":[1,null]}',
    "41",
    "41/custom,",
    '42["message",1,"é",{"a":[true]}]',
    '421["message-with-ack",{"a":[1,2.5e3]}]',
    '42/custom,["message"]',
    '431["answer"]',
    '44{"message":"x"}',
    f'451-["message",{PLACEHOLDER}]',
    f'4510-7["message-with-ack",[{PLACEHOLDER}],{{"a":{PLACEHOLDER}}}]',
    f"461-1[{PLACEHOLDER}]",
    '42["message",{"__proto__":{"x":1}}]',
    "1",
    "2probe",
    "3",
    "4",
    "5",
    "6",
    '0{"sid":"x"}',
    "bAQID",
)
TOKENS: Final = (
    '"', "\\", "[", "]", "{", "}", ",", ":", "-", "/", "0", "1", "9" * 20, "-1", "1e999", "NaN", "null", "true",
    "\\ud800", "\\u0000", "\x00", "\x1e", "\n", "\u2028", "🌡", "٣", "__proto__", "constructor", "connect", "disconnect",
    '{"_placeholder":true,"num":-1}', '{"_placeholder":true,"num":"0"}', "[" * 50, "b", "bA===", "4", "45", "46",
)  # fmt: skip
HEADS: Final = (
    b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15\r\n\r\n\x81\x82\0\0\0\x004x",
    b"POST /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4x",
    b"POST /socket.io/?EIO=4&transport=polling&sid=%00 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n4x\r\n0\r\n\r\n",
    b"OPTIONS /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
)


def _any_character(random: Random) -> str:
    # Every plane, but no surrogates: those cannot be sent as UTF-8.
    return chr(random.choice([random.randrange(0x80), random.randrange(0x800), random.randrange(0xE000, 0x110000)]))


def _insert(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice([random.choice(TOKENS), _any_character(random)]) + text[at:]


def _remove(random: Random, text: str) -> str:
    start = random.randint(0, len(text))
    return text[:start] + text[start + random.randint(1, 4) :]


def _repeat(random: Random, text: str) -> str:
    start, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
    return text[:end] + text[start:end] * random.randint(1, 20) + text[end:]


def _replace(random: Random, text: str) -> str:
    at = random.randint(0, max(len(text) - 1, 0))
    return text[:at] + _any_character(random) + text[at + 1 :]


def _splice(random: Random, text: str) -> str:
    other = random.choice(PACKETS)
    return text[: random.randint(0, len(text))] + other[random.randint(0, len(other)) :]


_MUTATIONS: Final[tuple[Callable[[Random, str], str], ...]] = (_insert, _remove, _repeat, _replace, _splice)


def _value(random: Random, depth: int = 0) -> object:
    """Any JSON value that strict JSON can say, with names and numbers that trip programs up."""
    match random.randrange(6 if depth < 4 else 4):
        case 0:
            return random.choice((None, True, False, 0, -1, 2**53, -(2**63), 2**64, 1e308, -0.0, 5e-324, 0.1))
        case 1:
            return "".join(_any_character(random) for _ in range(random.randint(0, 5)))
        case 2 | 3:
            return random.choice(TOKENS)
        case 4:
            return [_value(random, depth + 1) for _ in range(random.randint(0, 3))]
        case _:
            names = (random.choice((*TOKENS, "_placeholder", "num", "a")) for _ in range(random.randint(0, 3)))
            return {name: _value(random, depth + 1) for name in names}


def _event(random: Random) -> str:
    """A correct event with arbitrary arguments."""
    name = random.choice(("message", "message-with-ack", "no such event", "__proto__"))
    ack_id = random.choice(("", str(random.randrange(2**53))))
    return f"42{ack_id}{json.dumps([name, _value(random), _value(random)], ensure_ascii=random.random() < 0.5)}"


def packet(random: Random) -> str:
    """A correct event with odd arguments, or a packet with up to four mutations."""
    if random.random() < 0.4:
        return _event(random)
    text = random.choice(PACKETS)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 4))):
        text = random.choice(_MUTATIONS)(random, text)
    return text


def messages(random: Random) -> bytes:
    """A packet and perhaps binary attachments, each in a correct frame."""
    text = packet(random)
    counts = (0, 1, 1, 2, 10) if text.startswith(("45", "46")) else (0,) * 19 + (1,)
    blobs = [random.randbytes(random.choice((0, 1, 3, 200))) for _ in range(random.choice(counts))]
    return frames.text(text) + b"".join(frames.frame(frames.BINARY, blob) for blob in blobs)


def broken_frames(random: Random) -> bytes:
    """Frames with some of their bytes changed, removed or cut off."""
    return _damaged(random, messages(random))


def payload(random: Random) -> str:
    """A polling body of one to five packets."""
    return "\x1e".join(packet(random) for _ in range(random.randint(1, 5)))


def head(random: Random) -> bytes:
    """An HTTP request with some of its bytes changed, removed or cut off."""
    return _damaged(random, random.choice(HEADS))


def _damaged(random: Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(damaged)) if damaged else 0
        match random.randrange(4):
            case 0:
                damaged[at : at + 1] = random.randbytes(1)
            case 1:
                del damaged[at : at + random.randint(1, 8)]
            case 2:
                damaged[at:at] = random.randbytes(random.randint(1, 8))
            case _ if random.random() < 0.3:
                del damaged[at:]
    return bytes(damaged)
