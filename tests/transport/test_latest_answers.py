"""Answers to `get:latest:all`: never older than the question, one large one at a time, and nothing kept."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from sensorcast.stream import SensorStream
from sensorcast.transport.latest_answers import AT_ONCE_UNITS, LatestAnswers
from tests.stream.readings import reading


def units(answer: msgspec.Raw) -> list[str]:
    return [each["unitId"] for each in json.loads(bytes(answer))]


@pytest.fixture
def stream() -> SensorStream:
    """Two organizations with more units than are answered at once."""
    stream = SensorStream()
    for organization_id in "ab":
        for number in range(AT_ONCE_UNITS + 1):
            stream.add_reading(organization_id, reading(f"u{number}", org=organization_id))
    return stream


def test_few_units_are_answered_at_once_and_many_are_not(stream: SensorStream) -> None:
    answers = LatestAnswers(stream)
    for number in range(AT_ONCE_UNITS):
        stream.add_reading("few", reading(f"u{number}", org="few"))
    small = answers.at_once("few")
    assert small is not None
    assert len(units(small)) == AT_ONCE_UNITS
    assert answers.at_once("nobody") is not None
    assert answers.at_once("a") is None


async def test_who_asks_before_an_answer_is_encoded_shares_it(stream: SensorStream) -> None:
    answers = LatestAnswers(stream)
    given = await asyncio.gather(*(answers.in_turn(each) for each in "aabab"))
    assert given[0] is given[1] is given[3]
    assert given[2] is given[4]
    assert len(units(given[0])) == len(units(given[2])) == AT_ONCE_UNITS + 1


async def test_an_answer_holds_what_was_latest_when_it_was_asked_for(stream: SensorStream) -> None:
    answers = LatestAnswers(stream)
    given: list[list[str]] = []

    async def ask() -> None:
        given.append(units(await answers.in_turn("a")))

    async with asyncio.TaskGroup() as asking:
        for number in range(20):
            stream.add_reading("a", reading(f"new{number}"))
            asking.create_task(ask())
            await asyncio.sleep(0)
    assert [f"new{number}" in answer for number, answer in enumerate(given)] == [True] * 20


async def test_everybody_else_has_a_turn_between_two_large_answers(stream: SensorStream) -> None:
    answers, turns, given_at = LatestAnswers(stream), 0, []

    async def ask(organization_id: str) -> None:
        await answers.in_turn(organization_id)
        given_at.append(turns)

    async with asyncio.TaskGroup() as asking:
        for number in range(50):
            asking.create_task(ask("ab"[number % 2]))
        while len(given_at) < 50:
            await asyncio.sleep(0)
            turns += 1
    assert len(set(given_at)) == 50


async def test_nothing_is_kept_when_nobody_waits_also_not_of_who_went_away(stream: SensorStream) -> None:
    answers = LatestAnswers(stream)
    asking = [asyncio.create_task(answers.in_turn("a")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asking[:2]:
        task.cancel()
    assert len(units(await asking[2])) == AT_ONCE_UNITS + 1
    assert [task.cancelled() for task in asking] == [True, True, False]
    assert answers._answers == {}
