"""Strict JSON (RFC 8259) in and out, for every door: no NaN, no lone surrogates, bounded depth, UTF-8 only.

Owns the one pair of encoder and decoder for JSON of unknown shape, and the depth check. The invariant: what leaves
through `encode` can be parsed by every browser, so one bad value can never make a whole room disconnect.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_BLANKS: Final = b" \t\r\n"
_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()


class JsonError(ValueError):
    """The text is not strict JSON, or nests deeper than allowed."""


def check_depth(text: bytes, max_depth: int) -> None:
    """Raise `JsonError` when arrays and objects in `text`, which must be sound JSON, nest deeper than `max_depth`.

    Sound, because finding the strings of a text with an unclosed quote takes quadratic time. Brackets are taken off
    from the inside, one level a pass at C speed, and only where there are more of them than levels.
    """
    if text.count(b"[") + text.count(b"{") <= max_depth:
        return
    brackets = _STRING.sub(b"", text).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise JsonError(f"JSON nests deeper than {max_depth} levels")


def count_names(text: bytes) -> int | None:
    """Count the names in the objects of sound JSON; None when it has a backslash, which makes that uncertain.

    Without one no string holds a quote, so `":` is behind every name, and else only before a text that begins with a
    colon, which counts as well. So were a name there twice, or with a value that was left out, there would be more than
    in what was decoded.
    """
    if b"\\" in text:
        return None
    if b" " in text or b"\n" in text or b"\t" in text or b"\r" in text:
        text = text.translate(None, _BLANKS)
    return text.count(b'":')


def decode(text: bytes | str, *, max_depth: int) -> Any:
    """Decode one JSON document; raise `JsonError` for anything that is not strict JSON within `max_depth` levels."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        value = _DECODER.decode(raw)
    except RecursionError:
        raise JsonError(f"JSON nests deeper than {max_depth} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise JsonError(f"not strict JSON: {exc}") from None
    check_depth(raw, max_depth)
    return value


def encode(value: Any) -> bytes:
    """Encode a value as compact JSON; raise `JsonError` for NaN, infinities, lone surrogates and foreign types."""
    try:
        text = _ENCODER.encode(value)
    except (msgspec.EncodeError, TypeError, ValueError, RecursionError, UnicodeEncodeError) as exc:
        raise JsonError(f"cannot be sent as JSON: {exc}") from None
    # msgspec writes non-finite floats as null; only when a null is there must the value be searched for one.
    if b"null" in text and _has_non_finite(value):
        raise JsonError("cannot be sent as JSON: NaN or infinity")
    return text


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_non_finite(item) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_has_non_finite(item) for item in value)
    if isinstance(value, msgspec.Struct):
        return any(_has_non_finite(getattr(value, name)) for name in value.__struct_fields__)
    return False
