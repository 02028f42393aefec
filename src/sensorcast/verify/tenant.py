"""One organization of a verification: its credentials, and the values that nobody else may ever see.

The invariant: a canary is random, so wherever its text turns up it can only come from this organization.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

SHARED_UNITS: Final = ("shared-1", "shared-2")
"""Units of the same name in every organization: (organization, unit) is the identity, so they are different units."""
SITE: Final = "shared-site"
NOBODY: Final = "nobody-has-this-organization"
READING_IDS_MAX: Final = 20


def _new_canary() -> str:
    return f"canary{secrets.token_hex(8)}"


def _new_temperature() -> float:
    return (1_000_000_000 + secrets.randbelow(8_000_000_000)) / 1_000_000_000


@dataclass
class Tenant:
    """An organization with an owner's token and an API key that may send and read."""

    organization_id: str
    token: str
    key: str
    started_at: datetime
    canary: str = field(default_factory=_new_canary)
    temperature: float = field(default_factory=_new_temperature)
    """Of every reading it sends; nine random digits, which show in lowest and highest values, too."""
    sent: int = 0
    """Readings it has stored."""
    sent_to: dict[str, int] = field(default_factory=dict)
    """The same by unit."""
    reading_ids: list[str] = field(default_factory=list)
    """Of its newest readings, as far as the server has made them."""
    borrowed_ids: set[str] = field(default_factory=set)
    """Ids of others that it has given to its own readings."""

    @property
    def units(self) -> tuple[str, ...]:
        """Units it sends readings of: one that nobody else has, and those that everybody has."""
        return (f"unit-{self.canary}", *SHARED_UNITS)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Texts that must never reach anybody else."""
        texts = (self.canary, self.organization_id, self.key.split("_")[1], str(self.temperature))
        return tuple(text.encode() for text in texts)

    def next_reading(self, unit_id: str) -> Mapping[str, Any]:
        """Make the next reading of a unit; a canary is in its device, its temperature and the name of a measure."""
        moment = self.started_at + timedelta(milliseconds=self.sent)
        return {
            "unitId": unit_id,
            "deviceId": f"device-{self.canary}",
            "recordedAt": moment.isoformat(),
            "temperature": self.temperature,
            "metrics": {self.canary: float(self.sent)},
            "siteId": SITE,
        }

    def stored(self, unit_id: str, new_id: str | None) -> None:
        """Note that a reading was acknowledged; `new_id` is what the server calls it, unless the id was given."""
        self.sent += 1
        if new_id is not None:
            self.reading_ids = [*self.reading_ids[1 - READING_IDS_MAX :], new_id]
        self.sent_to[unit_id] = self.sent_to.get(unit_id, 0) + 1
