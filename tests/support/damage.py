"""A database file damaged so that it can be opened but not used."""

from __future__ import annotations

from pathlib import Path

import apsw

_PAGE_BYTES = 4_096


def damage(database: Path) -> None:
    """Overwrite every page but those that say which tables there are."""
    with apsw.Connection(str(database)) as connection:
        of_schema = "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'"
        kept = {number for (number,) in connection.execute(of_schema)}
    connection.close()
    content = bytearray(database.read_bytes())
    for number in range(1, len(content) // _PAGE_BYTES + 1):
        if number not in kept:
            content[(number - 1) * _PAGE_BYTES : number * _PAGE_BYTES] = b"\xa5" * _PAGE_BYTES
    database.write_bytes(content)
