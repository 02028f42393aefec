"""What a migration to version 6 does that SQL cannot: hashing who has sent, to tell derived ids from given ones.

Called within the transaction of the migrations, after their SQL. The invariant: afterwards every sender of a stored
reading is in `senders`, and every stored id that does not follow from its reading's natural key is in `given_ids`.
"""

from __future__ import annotations

from typing import Any, Final

from sensorcast.store.derived_ids import sender_digest

VERSION: Final = 6
"""After the SQL of this migration."""

TIMEOUT_S: Final = 86_400.0
"""Every reading is looked at twice; no answer within a day means that there will be none."""

_A_TIME: Final = 10_000
"""Senders in memory at a time."""

_SENDERS: Final = (
    "SELECT o.organization_no, o.organization_id, u.unit_no, u.unit_id, r.device_id "
    "FROM (SELECT DISTINCT unit_no, device_id FROM readings) AS r JOIN units AS u USING (unit_no) "
    "JOIN organizations AS o USING (organization_no)"
)
# As `model.reading_id` makes it: `%` and `/` of SQL round towards 1970, those of Python down.
_MICROS: Final = "((r.recorded_at_us % 1000 + 1000) % 1000)"
_MILLIS: Final = f"((r.recorded_at_us - {_MICROS}) / 1000 & {2**48 - 1})"
_DERIVED: Final = (
    f"(lpad(to_hex({_MILLIS}), 12, '0') || '8' || lpad(to_hex({_MICROS}), 3, '0') || encode(s.digest, 'hex'))::uuid"
)
_ADD_GIVEN: Final = (
    "INSERT INTO given_ids (organization_no, id, recorded_at_us, like_ours) "  # noqa: S608 our names
    "SELECT r.organization_no, r.id, r.recorded_at_us, substr(r.id::text, 15, 1) = '8' FROM readings AS r "
    "JOIN senders AS s ON s.unit_no = r.unit_no AND s.device_id = r.device_id "
    f"WHERE r.id <> {_DERIVED} ON CONFLICT DO NOTHING"
)


async def upgrade(connection: Any) -> None:
    """Fill `senders` from the readings, and complete `given_ids`."""
    cursor = await connection.cursor(_SENDERS, timeout=TIMEOUT_S)
    while found := await cursor.fetch(_A_TIME, timeout=TIMEOUT_S):
        rows = [(row[0], sender_digest((row[1], row[3], row[4] or None)), row[2], row[4]) for row in found]
        await connection.copy_records_to_table("senders", records=rows)
    await connection.execute("ANALYZE senders", timeout=TIMEOUT_S)
    await connection.execute(_ADD_GIVEN, timeout=TIMEOUT_S)
