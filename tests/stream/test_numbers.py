"""Each organization has numbers of its own, which only grow."""

from __future__ import annotations

from itertools import count

from sensorcast.stream.numbers import BatchNumbers


def test_numbers_of_an_organization_have_no_gaps_whatever_others_send() -> None:
    numbers = BatchNumbers(count(1_000).__next__)
    first = numbers.next_of("acme")
    for _ in range(50):
        numbers.next_of("globex")
    assert numbers.next_of("acme") == first + 1


def test_a_later_start_is_above_every_number_before() -> None:
    before = BatchNumbers(lambda: 1_000)
    last = [before.next_of("acme") for _ in range(10)][-1]
    assert BatchNumbers(lambda: 2_000).next_of("acme") > last


def test_the_longest_silent_organization_is_forgotten_and_goes_on_above() -> None:
    numbers = BatchNumbers(count(1_000, 1_000).__next__, organizations_max=2)
    first = numbers.next_of("acme")
    numbers.next_of("globex")
    assert numbers.next_of("acme") == first + 1
    before = numbers.next_of("globex")
    numbers.next_of("initech")  # takes the place of acme
    assert numbers.next_of("globex") == before + 1
    assert numbers.next_of("acme") > first + 1
