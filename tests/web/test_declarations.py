"""Claims about the TypeScript declarations: they say what is sent, no more and no less."""

from __future__ import annotations

import re

import msgspec
import pytest

from sensorcast.stream.outgoing import BatchReading, UnitReading
from sensorcast.web.pages import STATIC

_TEXT = (STATIC / "sensorcast.d.ts").read_text(encoding="utf-8")
_EVENTS_PAGE = STATIC.parents[3] / "docs" / "reference" / "events.md"


def _fields(interface: str) -> set[str]:
    found = re.search(rf"interface {interface}(?: extends (\w+))? {{(.*?)\n}}", _TEXT, re.DOTALL)
    assert found, interface
    own = set(re.findall(r"^  \"?([\w:]+)\"?\??:", found[2], re.MULTILINE))
    return own | (_fields(found[1]) if found[1] else set())


@pytest.mark.parametrize("kind", [BatchReading, UnitReading])
def test_readings_have_the_fields_that_are_sent(kind: type[msgspec.Struct]) -> None:
    assert _fields(kind.__name__) == {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_documented_event_is_declared() -> None:
    page = _EVENTS_PAGE.read_text(encoding="utf-8")
    sent = set(re.findall(r"^### `([\w:]+)`", page, re.MULTILINE))
    taken = set(re.findall(r"^\| `([\w:]+)` \|", page, re.MULTILINE)) - _fields("UnitReading") - {"late"}
    assert _fields("ServerToClientEvents") == sent
    assert _fields("ClientToServerEvents") == taken
