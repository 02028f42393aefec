"""Every error sensorcast raises on purpose, as one table: code, HTTP status, who is to blame, what to do.

    SensorcastError
    +- CallerError (4xx: the request must change)
    |  +- MalformedRequest 400    +- Unauthenticated 401   +- Forbidden 403
    |  +- NotFound 404            +- MethodNotAllowed 405  +- PayloadTooLarge 413
    |  +- UnsupportedMediaType 415   +- InvalidRequest 422    +- QuotaExceeded 429 (retryable)
    +- ServerTrouble (5xx: the same request may work later)
    |  +- Unavailable 503 (retryable)   +- StorageFull 507 (retryable)
    +- InvalidReading (one item of a request; its neighbours are not touched)
    +- ConfigurationError (start-up: a setting or argument is wrong)

The invariant: each door converts these to its own form in exactly one function (`web.errors`, `transport.gateway`),
and a message names the limit and the setting where a limit was met. Subclasses only fill in the table's columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final


class SensorcastError(Exception):
    """Something sensorcast refuses or cannot do. `message` is for people, `code` for programs."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s


class CallerError(SensorcastError):
    """The caller's fault; sending the same again cannot work."""

    code = "bad_request"
    status = 400


class MalformedRequest(CallerError):
    """The whole body cannot be read: not JSON, not UTF-8, too deep, wrong shape. Nothing of it was stored."""

    code = "malformed"


class Unauthenticated(CallerError):
    """No credential, or one that does not hold."""

    code = "unauthenticated"
    status = 401


class TokenExpired(Unauthenticated):
    """The token held once, and ended."""

    code = "token_expired"


class Forbidden(CallerError):
    """The credential holds, but its role may not do this."""

    code = "forbidden"
    status = 403


class NotFound(CallerError):
    """Unknown, or not yours: the two are answered alike, so that nobody can learn what others have."""

    code = "not_found"
    status = 404


class MethodNotAllowed(CallerError):
    """The address exists, but not for this HTTP method."""

    code = "method_not_allowed"
    status = 405


class PayloadTooLarge(CallerError):
    """More bytes than a limit allows, on the wire or inflated."""

    code = "too_large"
    status = 413


class UnsupportedMediaType(CallerError):
    """A content type or encoding that is not taken here."""

    code = "unsupported_media_type"
    status = 415


class InvalidRequest(CallerError):
    """Well-formed, but a parameter has a value that is not allowed."""

    code = "invalid"
    status = 422


class QuotaExceeded(CallerError):
    """More, or faster, than this key, organization or connection may; later it works."""

    code = "rate_limited"
    status = 429
    retryable = True


class ServerTrouble(SensorcastError):
    """Our fault; the same request may work later."""

    code = "internal"
    status = 500


class Unavailable(ServerTrouble):
    """The store or a queue cannot take more now. Nothing of the request was stored."""

    code = "unavailable"
    status = 503
    retryable = True


class StorageFull(ServerTrouble):
    """The disk is full. Nothing of the request was stored."""

    code = "storage_full"
    status = 507
    retryable = True


class InvalidReading(SensorcastError):
    """One item of an ingest request breaks a rule of the reading table. `code` says which kind of rule."""

    code = "invalid_reading"
    status = 422

    def __init__(self, item_code: str, message: str) -> None:
        super().__init__(message)
        self.item_code = item_code


ITEM_CODES: Final[Mapping[str, str]] = {
    "wrong_type": "The item or one of its fields has another type than the rule says.",
    "missing_field": "A field that every reading must have is missing.",
    "invalid_value": "A field has the right type, but not the form that its rule says.",
    "out_of_range": "A number is beyond its bounds.",
    "duplicate_field": "A field is named twice, so its value is ambiguous.",
    "no_values": "Nothing was measured.",
    "time_out_of_window": "`recordedAt` is before `ingest_past_window_s` or after `ingest_future_window_s`.",
    "unknown_unit": "The unit is not in the registry, and `auto_register` is off.",
    "conflict": "The same reading is stored with other values; nothing was changed.",
}
"""The `code` of an item that was rejected, and what it says."""


class ConfigurationError(SensorcastError):
    """A setting, flag or argument is wrong; the program does not start."""

    code = "configuration"
