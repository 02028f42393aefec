"""The command `registry units import`: many units from a CSV file, as a spreadsheet saves it.

The invariant: nothing is written before every line was checked; what the file has no column for stays as it is, so the
same file can be imported again.
"""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

import click
from msgspec import structs

from sensorcast.cli.credentials import open_store
from sensorcast.cli.options import REGISTRY_BOUNDS, load, organization_option, with_settings
from sensorcast.entries import check_entry
from sensorcast.errors import ConfigurationError, InvalidRequest
from sensorcast.model import Site, Unit
from sensorcast.settings import Settings
from sensorcast.store import RegistryStore

_COLUMNS: Final = {"unitId": "unit_id", "name": "name", "siteId": "site_id", "area": "area"}
_AT_ONCE: Final = 200
"""Units written side by side: they share transactions."""

Rows = Mapping[str, Mapping[str, Any]]
"""By unit id: the fields that a line gives."""


@click.command("import")
@organization_option
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--create-sites", is_flag=True, help="Register sites that are named and not registered yet.")
@with_settings("data", "database_url", *REGISTRY_BOUNDS)
def import_units(org: str, file: TextIO, create_sites: bool, **flags: Any) -> None:
    """Register units from a CSV file ("-": standard input) with the columns unitId and any of name, siteId, area.

    An empty cell clears a field; a column that is missing leaves it, and metadata, as they are.
    """
    new, changed = asyncio.run(_import(load(flags), org, _read(file), create_sites))
    click.echo(f"registered {new} units, changed {changed}")


def _read(file: Iterable[str]) -> Rows:
    """Give the fields of every line. Raises `ConfigurationError` naming the line that is wrong."""
    reader = csv.DictReader(file, strict=True)
    try:
        names = reader.fieldnames or []
        if "unitId" not in names or set(names) - _COLUMNS.keys() or len(set(names)) < len(names):
            raise ConfigurationError("the first line must be unitId and any of name, siteId, area, separated by commas")
        rows: dict[str, Mapping[str, Any]] = {}
        for row in reader:
            fields = _fields(row, reader.line_num)
            if fields["unit_id"] in rows:
                raise ConfigurationError(f"line {reader.line_num}: unitId stands in an earlier line, too")
            rows[fields["unit_id"]] = fields
    except UnicodeDecodeError as exc:
        raise ConfigurationError("the file must be UTF-8; save it as CSV UTF-8") from exc
    except csv.Error as exc:
        raise ConfigurationError(f"line {reader.line_num}: {exc}") from exc
    return rows


def _fields(row: Mapping[Any, Any], line_no: int) -> Mapping[str, Any]:
    if None in row or None in row.values():
        raise ConfigurationError(f"line {line_no}: it has more or fewer cells than the first line")
    fields = {_COLUMNS[name]: cell.strip() for name, cell in row.items()}
    if "site_id" in fields:
        fields["site_id"] = fields["site_id"] or None
    try:
        check_entry(Unit(organization_id="any", created_at_us=0, **fields))
    except InvalidRequest as exc:
        raise ConfigurationError(f"line {line_no}: {exc.message}") from exc
    return fields


async def _import(chosen: Settings, organization_id: str, rows: Rows, create_sites: bool) -> tuple[int, int]:
    async with open_store(chosen) as store:
        await _see_to_sites(store, organization_id, rows, create_sites)
        units = await _units(store, organization_id, rows)
        new = 0
        for start in range(0, len(units), _AT_ONCE):
            new += sum(await asyncio.gather(*map(store.put_entry, units[start : start + _AT_ONCE])))
    return new, len(units) - new


async def _see_to_sites(store: RegistryStore, organization_id: str, rows: Rows, create: bool) -> None:
    named = sorted({site_id for fields in rows.values() if (site_id := fields.get("site_id"))})
    known = {site.site_id for site in await store.find_entries(Site, organization_id, named)}
    missing = [site_id for site_id in named if site_id not in known]
    if missing and not create:
        raise ConfigurationError(
            f"not registered as sites: {len(missing)} of those named, the first is {missing[0]}",
            hint="--create-sites registers them",
        )
    for site_id in missing:
        await store.put_entry(Site(organization_id=organization_id, site_id=site_id, created_at_us=_now_us()))


async def _units(store: RegistryStore, organization_id: str, rows: Rows) -> Sequence[Unit]:
    """Give the units as they shall be: what is there already, with the fields of the file."""
    known = {unit.unit_id: unit for unit in await store.find_entries(Unit, organization_id, sorted(rows))}
    new = {
        unit_id: Unit(organization_id=organization_id, unit_id=unit_id, created_at_us=_now_us())
        for unit_id in rows.keys() - known.keys()
    }
    before = known | new
    return [structs.replace(before[unit_id], **fields) for unit_id, fields in rows.items()]


def _now_us() -> int:
    return time.time_ns() // 1_000
