"""Bad credentials are counted by address; good ones never."""

from __future__ import annotations

import pytest

from sensorcast.auth import Attempts
from sensorcast.errors import QuotaExceeded
from sensorcast.settings import Settings


class Door:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.attempts = Attempts(Settings(bad_credentials_per_s=0.5, bad_credentials_burst=3), lambda: self.now_s)

    def fail(self, address: str, times: int = 1) -> None:
        for _ in range(times):
            self.attempts.check(address)
            self.attempts.failed(address)

    def is_limited(self, address: str) -> bool:
        try:
            self.attempts.check(address)
        except QuotaExceeded:
            return True
        return False


def test_an_address_with_too_many_failures_waits() -> None:
    door = Door()
    door.fail("192.0.2.1", 3)
    with pytest.raises(QuotaExceeded, match="bad_credentials_burst") as caught:
        door.attempts.check("192.0.2.1")
    assert caught.value.retry_after_s == 2
    assert not door.is_limited("192.0.2.2")
    door.now_s = 2.0
    door.fail("192.0.2.1")
    assert door.is_limited("192.0.2.1")


def test_checks_without_failures_cost_nothing() -> None:
    door = Door()
    for _ in range(1_000):
        door.attempts.check("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
        ("unix", "other", False),
    ],
)
def test_addresses_of_one_customer_count_together(one: str, other: str, alike: bool) -> None:
    door = Door()
    door.fail(one, 3)
    assert door.is_limited(other) is alike
