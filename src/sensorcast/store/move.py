"""The move of a whole SQLite database into PostgreSQL, which can be interrupted and taken up again.

Owns the order: registry, revocations, keys, then readings in pages. The invariant: after every page the target knows
how far the move has come, and a page moved twice is stored once, so an interruption at any moment costs one page of
work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from sensorcast.errors import ConfigurationError
from sensorcast.model import Revocation, RevocationKind, Verdict
from sensorcast.store.missing import missing_in
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.registry_rows import KINDS, SETTINGS
from sensorcast.store.sqlite_source import START, Place, SqliteSource

PAGE_READINGS: Final = 5_000
"""Readings of one page: one group of the writer."""

_PAGE_ENTRIES: Final = 1_000
"""Entries of the registry in one transaction."""

_FIND: Final = "SELECT unit_no, recorded_at_us, device_id, readings FROM moves WHERE source = $1"
_NOTE: Final = (
    "INSERT INTO moves (source, unit_no, recorded_at_us, device_id, readings) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (source) DO UPDATE SET (unit_no, recorded_at_us, device_id, readings) = "
    "(excluded.unit_no, excluded.recorded_at_us, excluded.device_id, excluded.readings)"
)


class Moved(msgspec.Struct):
    """What became of the readings of this run; those of earlier runs are `before`."""

    before: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    keys: int = 0
    entries: int = 0


async def move(source: SqliteSource, target: PostgresStore, *, on_page: Callable[[int, int], None]) -> Moved:
    """Move everything; `on_page` gets how many readings are done and how many there are.

    Raises `Unavailable` or `StorageFull` when the target takes no more, `ConfigurationError` when it may not have as
    many entries in its registry; calling again goes on from there.
    """
    total = await asyncio.to_thread(source.count)
    place, before = await _found(target, source.name)
    if await asyncio.to_thread(source.count_up_to, place) != before:
        # A server was at work on the source since: what it stored may lie before the place, so everything is looked at.
        place, before = START, 0
    # The registry first: a key makes its organization known, by nothing but its id.
    entries = await _move_registry(source, target)
    moved = Moved(before=before, keys=await _move_credentials(source, target), entries=entries)
    done = before
    on_page(done, total)
    following = asyncio.create_task(asyncio.to_thread(source.page, place, PAGE_READINGS))
    while (page := await following)[1]:
        place, readings = page
        following = asyncio.create_task(asyncio.to_thread(source.page, place, PAGE_READINGS))
        try:
            _count(moved, await target.append(readings))
            done += len(readings)
            await target.change(partial(_note, (source.name, *place, done)))
        except BaseException:
            await asyncio.wait((following,))
            raise
        on_page(done, total)
    return moved


async def _found(target: PostgresStore, name: str) -> tuple[Place, int]:
    rows: Any = await target.query(lambda connection: connection.fetch(_FIND, name))
    return (Place(*rows[0][:3]), rows[0][3]) if rows else (START, 0)


async def _note(row: tuple[Any, ...], connection: Any) -> None:
    await connection.execute(_NOTE, *row)


async def _move_registry(source: SqliteSource, target: PostgresStore) -> int:
    added, behind = 0, None
    while page := await asyncio.to_thread(source.entries, behind, _PAGE_ENTRIES):
        added += await target.add_missing(page)
        if left_out := await missing_in(target, page):
            kind = KINDS[type(left_out[0])]
            raise ConfigurationError(
                f"{left_out[0].organization_id} has more {kind}s than it may (setting {SETTINGS[kind]})",
                hint="Raise the setting and move again.",
            )
        behind = page[-1]
    return added


async def _move_credentials(source: SqliteSource, target: PostgresStore) -> int:
    # Revocations first: one of a whole organization revokes the keys that are there. Each once, for when the move is
    # taken up again these may be keys that were made after it.
    known = {_subject(each): each.revoked_at_us for each in await target.revocations_since(0)}
    for revocation in await asyncio.to_thread(source.revocations):
        if known.get(_subject(revocation), -1) < revocation.revoked_at_us:
            await target.revoke(revocation)
    keys = await asyncio.to_thread(source.keys)
    for key in keys:
        there = await target.find_key(key.key_id)
        if there is None:
            await target.create_key(key)
        elif key.revoked_at_us is not None and there.revoked_at_us is None:
            await target.revoke_key(key.organization_id, key.key_id, now_us=key.revoked_at_us)
    return len(keys)


def _subject(revocation: Revocation) -> tuple[str, RevocationKind, str]:
    return revocation.organization_id, revocation.kind, revocation.subject


def _count(moved: Moved, verdicts: list[Verdict]) -> None:
    moved.stored += verdicts.count(Verdict.STORED)
    moved.duplicates += verdicts.count(Verdict.DUPLICATE)
    moved.conflicts += verdicts.count(Verdict.CONFLICT)
