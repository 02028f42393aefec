"""Numbers of organizations and units, and who has ever sent, written down on first sight.

Belongs to the writer, which makes them in the transaction of the first reading. The invariant: whoever has a reading
in the database is in the table `senders`, where the end of a derived id leads back to unit and device.
"""

from __future__ import annotations

from typing import Final

import apsw

from sensorcast.store.derived_ids import Sender, sender_digest

_CACHED_SENDERS: Final = 200_000
"""Senders kept in memory (about 60 MiB); beyond it the cache starts anew, at a few statements per sender."""


class UnitNumbers:
    """Numbers of organizations and units, given out on first sight. Belongs to the writer; forget after a rollback."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._organizations: dict[str, int] = {}
        self._known: dict[Sender, tuple[int, int]] = {}

    def forget(self) -> None:
        """Drop what was learned: numbers given out in a transaction that was rolled back are gone."""
        self._organizations.clear()
        self._known.clear()

    def of(self, sender: Sender) -> tuple[int, int]:
        """Give (organization number, unit number) of a sender, creating what is new."""
        known = self._known.get(sender)
        if known is None:
            if len(self._known) >= _CACHED_SENDERS:
                self.forget()
            known = self._known[sender] = self._create(sender)
        return known

    def _create(self, sender: Sender) -> tuple[int, int]:
        organization_id, unit_id, device_id = sender
        organization_no = self._organizations.get(organization_id)
        if organization_no is None:
            organization_no = self._organizations[organization_id] = self._organization(organization_id)
        unit_no = self._unit(organization_no, unit_id)
        add = "INSERT INTO senders (organization_no, digest, unit_no, device_id) VALUES (?, ?, ?, ?)"
        self._connection.execute(
            f"{add} ON CONFLICT DO NOTHING", (organization_no, sender_digest(sender), unit_no, device_id or "")
        )
        return organization_no, unit_no

    def _organization(self, organization_id: str) -> int:
        execute = self._connection.execute
        execute("INSERT INTO organizations (organization_id) VALUES (?) ON CONFLICT DO NOTHING", (organization_id,))
        return int(
            execute("SELECT organization_no FROM organizations WHERE organization_id = ?", (organization_id,)).get
        )

    def _unit(self, organization_no: int, unit_id: str) -> int:
        execute, unit = self._connection.execute, (organization_no, unit_id)
        execute("INSERT INTO units (organization_no, unit_id) VALUES (?, ?) ON CONFLICT DO NOTHING", unit)
        return int(execute("SELECT unit_no FROM units WHERE organization_no = ? AND unit_id = ?", unit).get)
