"""What the commands share: options made from the settings table, checks of arguments, errors as one line.

The invariant: every mistake on the command line is one clear line on standard error with exit code 2, other trouble one
line with exit code 1; a traceback means a bug. Options of settings are made from the settings table, never by hand.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Callable
from typing import IO, Any, Final, TypeVar

import click

from sensorcast import settings
from sensorcast.errors import ConfigurationError, SensorcastError
from sensorcast.model import is_valid_id
from sensorcast.settings import Settings

_DURATION: Final = re.compile(r"(\d{1,9})([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_DAYS: Final = 36_500
"""A century: what ends behind the year 9999 could not be shown."""

_OF_CLIENTS: Final = frozenset({"SENSORCAST_API_KEY", "SENSORCAST_TOKEN"})
"""Variables of `simulate` and `loadtest`."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Trouble(click.ClickException):
    """Something did not work, said in one line."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"sensorcast: {self.message}", file=file or sys.stderr)


class _Mistake(_Trouble):
    """The command line or a setting is wrong."""

    exit_code = 2


class Commands(click.Group):
    """A group that turns errors into one line and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not all(map(settings.is_text, args)):
            raise _Mistake("what is given must be UTF-8")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as exc:
            raise _Mistake(exc.format_message()) from None
        except SensorcastError as exc:
            kind = _Mistake if isinstance(exc, ConfigurationError) else _Trouble
            raise kind(f"{exc.message} ({exc.hint})" if exc.hint else exc.message) from None


def with_settings(*names: str) -> Callable[[_Command], _Command]:
    """Add an option for each named setting, or for every setting; the values arrive as keyword arguments, as text."""

    def add(command: _Command) -> _Command:
        for row in reversed(dataclasses.fields(Settings)):
            if not names or row.name in names:
                command = _option(row)(command)
        return command

    return add


def _option(row: dataclasses.Field[Any]) -> Callable[[_Command], _Command]:
    flag = f"--{row.name.replace('_', '-')}"
    if isinstance(row.default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", row.name, default=None, help=row.metadata["doc"])
    shown = "" if row.default == "" else f" Default: {row.default}."
    return click.option(flag, row.name, metavar="VALUE", help=row.metadata["doc"] + shown)


def load(flags: dict[str, Any]) -> Settings:
    """Give the settings: flags, then the environment, then defaults."""
    return settings.load(flags, os.environ)


def warn_of_unknown_variables() -> None:
    """Name the variables that look like settings and are none: what was meant by them does not happen."""
    known = [settings.ENVIRONMENT_PREFIX + row.name.upper() for row in dataclasses.fields(Settings)]
    for name in settings.unknown(os.environ):
        if name not in _OF_CLIENTS:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; is {near[0]} meant?" if near else ""
            click.echo(f"sensorcast: {name} is no setting and does nothing{meant}", err=True)


def _organization(_: click.Context, __: click.Parameter, value: str) -> str:
    if not is_valid_id(value):
        raise ConfigurationError("--org must be 1 to 128 of A-Z a-z 0-9 _ . : -")
    return value


def duration_s(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Check an option that is a length of time."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value)
    if found is None or int(found[1]) == 0:
        raise ConfigurationError(f"{parameter.opts[0]} must be a time like 90s, 30m, 1h or 7d, not {value!r}")
    length_s = int(found[1]) * _SECONDS[found[2]]
    if length_s > _LONGEST_DAYS * _SECONDS["d"]:
        raise ConfigurationError(f"{parameter.opts[0]} must be at most {_LONGEST_DAYS}d")
    return length_s


REGISTRY_BOUNDS: Final = ("registry_sites_max", "registry_units_max", "registry_devices_max")
"""Settings of commands that add to the registry: a server started with higher ones must not be refused by a lower."""

organization_option = click.option("--org", required=True, callback=_organization, help="Organization.")
