"""Writes `docs/reference/` from the tables in the code; `--check` only compares, and fails when a page is stale.

Each page is one function that returns Markdown. A setting, error, metric or command is thereby documented by being
in its table, and cannot be forgotten here.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click
import docs_protocol
from prometheus_client import Histogram

from sensorcast import cli, errors, metrics, settings
from sensorcast.auth import roles
from sensorcast.model import Role, Scope

PAGES_FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
KIB = 1024


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def first_paragraph(documented: object) -> str:
    """Give the opening paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def settings_page() -> str:
    """Every setting: flag, variable, default, bounds."""
    rows = [
        (
            f"`--{row.name.replace('_', '-')}`",
            f"`{settings.ENVIRONMENT_PREFIX}{row.name.upper()}`",
            default_text(row.name, row.default),
            bounds_text(row.metadata["low"], row.metadata["high"]),
            row.metadata["doc"],
        )
        for row in dataclasses.fields(settings.Settings)
    ]
    return f"""# Settings

A setting is taken from its flag, else from its variable, else from the default. `sensorcast serve` has a flag for
each; a value out of bounds stops the start with a message that names the setting and its bounds. Numbers carry their
unit in the name: `_ms`, `_s`, `_bytes`.

{table(("Flag", "Variable", "Default", "Bounds", "What it is"), rows)}
"""


def default_text(name: str, default: object) -> str:
    """Write a default value; sizes also in KiB or MiB."""
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, int) and "bytes" in name and default % KIB == 0:
        size = f"{default // KIB**2} MiB" if default % KIB**2 == 0 else f"{default // KIB} KiB"
        return f"`{default}` ({size})"
    return f"`{default}`" if default != "" else "empty"


def bounds_text(low: float | None, high: float | None) -> str:
    """Write the bounds of a setting."""
    if low is None and high is None:
        return ""
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def error_classes(parent: type[errors.SensorcastError]) -> Iterator[type[errors.SensorcastError]]:
    """Walk the error tree from the top, in the order of the table in the code."""
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from error_classes(child)


def errors_page() -> str:
    """Every error: code, status, blame."""
    rows = [
        (f"`{kind.code}`", str(kind.status), blame(kind), "yes" if kind.retryable else "no", first_paragraph(kind))
        for kind in error_classes(errors.SensorcastError)
        if kind not in {errors.CallerError, errors.ServerTrouble}
    ]
    return f"""# Errors

Over HTTP an error is `{{"error": {{"code", "message", "hint"?}}}}` with the status below; over Socket.IO a refused
connection is a `connect_error` whose `data.code` is the code. A retryable error comes with `Retry-After` where the
server knows how long; sending the same again later is safe, because readings are idempotent. A message that names a
limit names its setting too.

{table(("Code", "Status", "Whose fault", "Retry", "Meaning"), rows)}

An item of an ingest request that breaks a rule of the [reading](http.md) is listed under `rejected`, with the HTTP
status still 200: its neighbours are stored. Its `code` is one of these.

{table(("Code of an item", "Meaning"), [(f"`{code}`", meaning) for code, meaning in errors.ITEM_CODES.items()])}
"""


def blame(kind: type[errors.SensorcastError]) -> str:
    """Say who has to change something."""
    if issubclass(kind, errors.ServerTrouble):
        return "server"
    return "operator" if kind is errors.ConfigurationError else "caller"


def metrics_page() -> str:
    """Every metric at `/metrics`."""
    collectors = dict.fromkeys(metrics.REGISTRY._collector_to_names)  # each once, in the order of the table
    rows = [
        (
            f"`{metric_name(collector)}`",
            collector._type,
            ", ".join(f"`{label}`" for label in collector._labelnames),
            collector._documentation,
        )
        for collector in collectors
    ]
    return f"""# Metrics

`GET /metrics` gives them in the Prometheus text format. No label ever holds an organization, unit, user or socket id,
so the number of series does not grow with what the server is used for. Counters are touched per request, flush or
connection, never per reading or delivered event: watching costs nothing where it is hot.

{table(("Metric", "Type", "Labels", "What it counts"), rows)}
"""


def metric_name(collector: Histogram) -> str:
    """Give a metric's name as it appears at `/metrics`."""
    return f"{collector._name}_total" if collector._type == "counter" else collector._name


def cli_page() -> str:
    """Every command and its options."""
    root = click.Context(cli.main, info_name="sensorcast")
    sections = "\n".join(command_section(path, command) for path, command in commands(root, cli.main))
    return f"""# Command line

Every command prints help with `--help`. `sensorcast serve` also takes a flag for each of the [settings](settings.md).

{sections}"""


def commands(context: click.Context, group: click.Group) -> Iterator[tuple[click.Context, click.Command]]:
    """Walk the commands of a group, deepest last."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        child = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(child, command)
        else:
            yield child, command


def command_section(context: click.Context, command: click.Command) -> str:
    """Lay out one command."""
    known = {f"--{row.name.replace('_', '-')}" for row in dataclasses.fields(settings.Settings)}
    records = [
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if "--help" not in parameter.opts and not (command.name == "serve" and known & set(parameter.opts))
    ]
    options = [(f"`{flag}`", " ".join(text.split())) for flag, text in filter(None, records)]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [
        f"## `{context.command_path}`",
        " ".join((command.help or "").split("\n\n")[0].split()),
        f"```\n{usage}\n```",
    ]
    if options:
        parts.append(table(("Option", "What it is"), options))
    return "\n\n".join(parts) + "\n"


def roles_page() -> str:
    """What each role may do."""
    rows = [
        (permission.value, *("yes" if permission in roles.PERMISSIONS[role] else "" for role in Role))
        for permission in roles.Permission
    ]
    scopes = [(f"`{scope}`", roles.ROLES_OF_SCOPES.get(scope, "nobody; it may only send readings")) for scope in Scope]
    return f"""# Roles

A token names one role (`role`), which counts in each organization it is for.

{table(("May", *(f"`{role}`" for role in Role)), rows)}

An API key acts, where people act, in the role of its scope.

{table(("Scope", "Acts as"), scopes)}
"""


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "cli.md": cli_page,
    "roles.md": roles_page,
    "http.md": lambda: docs_protocol.http_page(table),
    "events.md": lambda: docs_protocol.events_page(table),
}
NOTE = "<!-- Generated by `make docs` from the code; edit the table there, not this page. -->\n"


def main() -> int:
    """Write the pages, or with `--check` compare them; 1 when one is stale."""
    stale = []
    for name, page in PAGES.items():
        path, wanted = PAGES_FOLDER / name, NOTE + page()
        if path.is_file() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
    if "--check" not in sys.argv:
        print(f"Written: {', '.join(stale) or 'nothing, all pages were current'}.")
        return 0
    print(f"Stale, run `make docs`: {', '.join(stale)}" if stale else "Reference pages current.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
