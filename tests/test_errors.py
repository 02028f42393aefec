"""The error table: complete columns, blame in the type, names that programs can rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensorcast import errors
from sensorcast.errors import CallerError, InvalidReading, SensorcastError, ServerTrouble


def all_errors(parent: type[SensorcastError] = SensorcastError) -> Iterator[type[SensorcastError]]:
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from all_errors(child)


@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_says_what_it_is(kind):
    assert kind.code
    assert kind.__doc__


@pytest.mark.parametrize("kind", list(all_errors(CallerError)), ids=lambda kind: kind.__name__)
def test_caller_errors_are_4xx(kind):
    assert 400 <= kind.status < 500


@pytest.mark.parametrize("kind", list(all_errors(ServerTrouble)), ids=lambda kind: kind.__name__)
def test_trouble_of_ours_is_5xx_and_may_work_later(kind):
    assert 500 <= kind.status < 600
    assert kind.retryable


def test_codes_are_unique():
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))


def test_an_error_carries_what_to_do():
    error = errors.Unavailable("the queue is full", hint="send later", retry_after_s=2)
    assert (str(error), error.message, error.hint, error.retry_after_s) == (
        "the queue is full",
        "the queue is full",
        "send later",
        2,
    )


def test_every_code_of_a_refused_item_is_in_the_table():
    sources = "".join(path.read_text("utf-8") for path in Path(errors.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"""InvalidReading\(\s*"(\w+)\"""", sources)) <= set(errors.ITEM_CODES)
    assert {code for code in errors.ITEM_CODES if f'"{code}"' not in sources.replace(f'"{code}":', "")} == set()


def test_a_refused_item_carries_the_code_of_its_rule():
    error = InvalidReading("out_of_range", "humidity must be a number from 0 to 100")
    assert (error.item_code, error.message) == ("out_of_range", "humidity must be a number from 0 to 100")
