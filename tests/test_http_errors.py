"""Errors become HTTP answers in one form that never tells about the inside."""

from __future__ import annotations

import json

import pytest

from sensorcast import errors
from sensorcast.errors import SensorcastError
from sensorcast.http_errors import error_answer, json_answer

TABLE = [
    (errors.MalformedRequest, 400, "malformed"),
    (errors.Unauthenticated, 401, "unauthenticated"),
    (errors.TokenExpired, 401, "token_expired"),
    (errors.Forbidden, 403, "forbidden"),
    (errors.NotFound, 404, "not_found"),
    (errors.MethodNotAllowed, 405, "method_not_allowed"),
    (errors.PayloadTooLarge, 413, "too_large"),
    (errors.UnsupportedMediaType, 415, "unsupported_media_type"),
    (errors.InvalidRequest, 422, "invalid"),
    (errors.QuotaExceeded, 429, "rate_limited"),
    (errors.Unavailable, 503, "unavailable"),
    (errors.StorageFull, 507, "storage_full"),
]


@pytest.mark.parametrize(("kind", "status", "code"), TABLE, ids=[row[2] for row in TABLE])
def test_each_error_has_its_status_code_and_text(kind: type[SensorcastError], status: int, code: str) -> None:
    answer = error_answer(kind("what went wrong", hint="what to do"))
    assert answer.status == status
    assert json.loads(answer.body) == {"error": {"code": code, "message": "what went wrong", "hint": "what to do"}}
    assert dict(answer.headers)[b"content-length"] == str(len(answer.body)).encode()


def test_a_hint_is_left_out_where_there_is_none() -> None:
    assert json.loads(error_answer(errors.NotFound("no")).body) == {"error": {"code": "not_found", "message": "no"}}


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), MemoryError("secret")], ids=repr)
def test_an_unexpected_error_tells_nothing(error: Exception) -> None:
    answer = error_answer(error)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (500, "internal")
    assert b"secret" not in answer.body


@pytest.mark.parametrize(("given_s", "told"), [(None, b"1"), (0, b"1"), (7, b"7")])
def test_what_may_work_later_says_when(given_s: int | None, told: bytes) -> None:
    for kind in (errors.QuotaExceeded, errors.Unavailable, errors.StorageFull):
        assert dict(error_answer(kind("x", retry_after_s=given_s)).headers)[b"retry-after"] == told


def test_what_cannot_work_later_does_not_say_when() -> None:
    assert b"retry-after" not in dict(error_answer(errors.PayloadTooLarge("x")).headers)


def test_a_missing_credential_is_challenged() -> None:
    assert dict(error_answer(errors.TokenExpired("x")).headers)[b"www-authenticate"].startswith(b"Bearer")


def test_answers_are_json_that_nobody_keeps() -> None:
    headers = dict(json_answer(200, b"{}").headers)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"2"
    assert headers[b"cache-control"] == b"no-store"


def test_every_json_answer_tells_browsers_not_to_guess_frame_or_load():
    headers = dict(json_answer(200, b"{}").headers)
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
