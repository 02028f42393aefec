"""The commands for the registry: what organizations, sites, units and devices are called and belong to.

They work on the store beside a running server, which follows within `registry_cache_s`. The invariant: each kind of
entry has the same commands, made from one table, and `set` changes what is given and nothing else.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
import msgspec
from msgspec import UNSET, UnsetType, structs

from sensorcast import strict_json
from sensorcast.cli.credentials import open_store
from sensorcast.cli.options import REGISTRY_BOUNDS, load, organization_option, with_settings
from sensorcast.cli.registry_import import import_units
from sensorcast.entries import check_entry
from sensorcast.errors import ConfigurationError, InvalidRequest
from sensorcast.model import Device, Entry, Metadata, Organization, Site, Unit, format_time
from sensorcast.registry.references import check_references, check_unused
from sensorcast.settings import Settings
from sensorcast.store import RegistryStore

_PAGE: Final = 1_000
_DEPTH: Final = 2
_TERMINAL: Final = re.compile("[\x7f-\x9f]")
"""Control characters that JSON does not escape, and by which metadata of a tenant could steer a terminal."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Kind:
    """A kind of entry: how its commands are called, and what they take and show."""

    entry: type[Entry]
    fields: Mapping[str, str]
    """Fields that can be set, and the help of their options."""
    columns: Sequence[str]
    """What a list shows."""
    only: str = ""
    """Field by which a list can be narrowed."""

    @property
    def noun(self) -> str:
        return self.entry.__name__.lower()


_NAME: Final = {"name": "What people call it."}
_KINDS: Final = (
    _Kind(Organization, _NAME, ("organization_id", "name", "created_at_us")),
    _Kind(Site, _NAME, ("site_id", "name", "created_at_us")),
    _Kind(
        Unit,
        _NAME | {"site_id": "Site it stands at, which must be registered; empty: none.", "area": "Where at the site."},
        ("unit_id", "name", "site_id", "area", "created_at_us"),
        only="site_id",
    ),
    _Kind(
        Device,
        _NAME | {"unit_id": "Unit it measures, which must be registered; empty: none."},
        ("device_id", "name", "unit_id", "created_at_us"),
        only="unit_id",
    ),
)


@click.group()
def registry() -> None:
    """Name organizations, sites, units and devices, and say what belongs where."""


def _group(kind: _Kind) -> click.Group:
    group = click.Group(f"{kind.noun}s", help=f"List, show, set and remove {kind.noun}s.")
    for command in (_list_command(kind), _show_command(kind), _set_command(kind), _remove_command(kind)):
        group.add_command(command)
    if kind.entry is Unit:
        group.add_command(import_units)
    return group


def _list_command(kind: _Kind) -> click.Command:
    @click.command("list", help=f"List {kind.noun}s by id.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    @with_settings("data", "database_url")
    def command(as_json: bool, org: str = "", only: str | None = None, **flags: Any) -> None:
        chosen = {kind.only: only} if only is not None else {}
        found = asyncio.run(_list(load(flags), kind, org, chosen))
        if as_json:
            for entry in found:
                click.echo(_json(entry))
        elif found:
            click.echo(_table(kind.columns, found))

    if kind.only:
        noun = kind.only.removesuffix("_id")
        command = click.option(f"--{noun}", "only", help=f"Only those of this {noun}.")(command)
    return command if kind.entry is Organization else organization_option(command)


def _show_command(kind: _Kind) -> click.Command:
    @click.command("show", help=f"Show everything about one {kind.noun}, as JSON.")
    @_named(kind)
    @with_settings("data", "database_url")
    def command(org: str, entry_id: str | None = None, **flags: Any) -> None:
        click.echo(_json(asyncio.run(_find(load(flags), kind, org, entry_id or org))))

    return command


def _set_command(kind: _Kind) -> click.Command:
    @click.command("set", help=f"Register a {kind.noun}, or change what is given of it.")
    @_named(kind)
    @click.option("--metadata", help='All of its metadata, as a JSON object like {"floor": 2}.')
    @with_settings("data", "database_url", *REGISTRY_BOUNDS)
    def command(org: str, metadata: str | None, entry_id: str | None = None, **options: Any) -> None:
        changes: dict[str, Any] = {field: _value(field, options.pop(field)) for field in kind.fields}
        changes = {field: value for field, value in changes.items() if value is not UNSET}
        if metadata is not None:
            changes["metadata"] = _metadata(metadata)
        is_new = asyncio.run(_set(load(options), kind, org, entry_id or org, changes))
        click.echo(f"{'registered' if is_new else 'changed'} {entry_id or org}")

    for field, text in reversed(list(kind.fields.items())):
        command = click.option(f"--{field.removesuffix('_id')}", field, help=text)(command)
    return command


def _remove_command(kind: _Kind) -> click.Command:
    with_it = " with its sites, units and devices" if kind.entry is Organization else ""

    @click.command("remove", help=f"Remove a {kind.noun} from the registry{with_it}; readings stay.")
    @_named(kind)
    @with_settings("data", "database_url")
    def command(org: str, entry_id: str | None = None, **flags: Any) -> None:
        asyncio.run(_remove(load(flags), kind, org, entry_id or org))
        click.echo(f"removed {entry_id or org}")

    return command


def _named(kind: _Kind) -> Callable[[_Command], _Command]:
    """Add what names one entry: its organization, and its id unless it is the organization."""

    def add(command: _Command) -> _Command:
        if kind.entry is not Organization:
            command = click.argument("entry_id", metavar=f"{kind.noun.upper()}_ID")(command)
        return organization_option(command)

    return add


for _kind in _KINDS:
    registry.add_command(_group(_kind))


async def _list(chosen: Settings, kind: _Kind, organization_id: str, only: Mapping[str, str]) -> list[Entry]:
    async with open_store(chosen) as store:
        return [entry async for entry in _entries(store, kind, organization_id, only)]


async def _entries(
    store: RegistryStore, kind: _Kind, organization_id: str, only: Mapping[str, str]
) -> AsyncIterator[Entry]:
    after: str | None = None
    while True:
        page: Sequence[Entry]
        if kind.entry is Organization:
            page = await store.list_organizations(after=after, limit=_PAGE)
        else:
            page = await store.list_entries(kind.entry, organization_id, after=after, limit=_PAGE, **only)
        for entry in page:
            yield entry
        if len(page) < _PAGE:
            return
        after = page[-1].entry_id


async def _find(chosen: Settings, kind: _Kind, organization_id: str, entry_id: str) -> Entry:
    async with open_store(chosen) as store:
        found = await store.find_entry(kind.entry, organization_id, entry_id)
    if found is None:
        raise _unknown(kind, organization_id, entry_id)
    return found


async def _set(chosen: Settings, kind: _Kind, organization_id: str, entry_id: str, changes: Mapping[str, Any]) -> bool:
    async with open_store(chosen) as store:
        ids: dict[str, Any] = {"organization_id": organization_id, f"{kind.noun}_id": entry_id}
        entry = kind.entry(**ids, **changes, created_at_us=time.time_ns() // 1_000)
        check_entry(entry)
        await check_references(store, entry)
        return await store.put_entry(entry, only=changes.keys())


async def _remove(chosen: Settings, kind: _Kind, organization_id: str, entry_id: str) -> None:
    async with open_store(chosen) as store:
        await check_unused(store, kind.entry, organization_id, entry_id)
        if not await store.remove_entry(kind.entry, organization_id, entry_id):
            raise _unknown(kind, organization_id, entry_id)


def _unknown(kind: _Kind, organization_id: str, entry_id: str) -> ConfigurationError:
    if kind.entry is Organization:
        return ConfigurationError(f"the registry has no organization {organization_id!r}")
    return ConfigurationError(f"{organization_id} has no {kind.noun} {entry_id!r} in the registry")


def _value(field: str, given: str | None) -> str | UnsetType | None:
    if given is None:
        return UNSET
    return given or None if field.endswith("_id") else given


def _metadata(text: str) -> Metadata:
    try:
        value = strict_json.decode(text, max_depth=_DEPTH)
    except strict_json.JsonError as exc:
        raise ConfigurationError(f"--metadata: {exc}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("--metadata must be a JSON object")
    return value


def _json(entry: Entry) -> str:
    fields = structs.asdict(entry)
    created_at = format_time(fields.pop("created_at_us"))
    shown = {_camel(name): value for name, value in fields.items()} | {"createdAt": created_at}
    text = msgspec.json.encode(shown).decode()
    return _TERMINAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(part.capitalize() for part in more)


def _table(columns: Sequence[str], entries: Sequence[Entry]) -> str:
    rows = [[_camel(column.removesuffix("_us")) for column in columns]]
    rows += [[_cell(column, getattr(entry, column)) for column in columns] for entry in entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cell(column: str, value: Any) -> str:
    if column == "created_at_us":
        return format_time(value)
    return value or "-"
