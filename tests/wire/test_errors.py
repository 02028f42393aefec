"""The one error of the wire."""

from __future__ import annotations

from sensorcast.errors import SensorcastError
from sensorcast.wire.engine_session import PeerClosed
from sensorcast.wire.errors import WireError


def test_a_wire_error_says_which_rule_was_broken() -> None:
    assert str(WireError("more than 3 packets")) == "more than 3 packets"


def test_a_wire_error_is_not_in_the_table_of_http_errors() -> None:
    assert not issubclass(WireError, SensorcastError)


def test_a_peer_that_closed_ends_its_connection_like_one_that_broke_a_rule() -> None:
    assert issubclass(PeerClosed, WireError)
