"""Claims about the commands for the registry: what is set is listed and shown, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sensorcast.cli import main


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["registry", *arguments, "--data", str(data)])


def shown(data: Path, kind: str, entry_id: str, org: str = "acme") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(data, kind, "show", "--org", org, entry_id).stdout)
    return found


def test_an_entry_is_set_listed_shown_and_removed(tmp_path: Path) -> None:
    for kind, noun in (("sites", "site"), ("units", "unit"), ("devices", "device")):
        done = run(tmp_path, kind, "set", "--org", "acme", "x-1", "--name", "Nørth", "--metadata", '{"floor": 2}')
        assert (done.exit_code, done.stdout) == (0, "registered x-1\n")
        entry = shown(tmp_path, kind, "x-1")
        assert (entry[f"{noun}Id"], entry["name"], entry["metadata"]) == ("x-1", "Nørth", {"floor": 2})
        listed = run(tmp_path, kind, "list", "--org", "acme")
        head, row = listed.stdout.splitlines()
        assert (head.split()[:2], row.split()[:2]) == ([f"{noun}Id", "name"], ["x-1", "Nørth"])
        assert [json.loads(run(tmp_path, kind, "list", "--org", "acme", "--json").stdout)] == [entry]
        assert run(tmp_path, kind, "list", "--org", "globex").stdout == ""
        assert run(tmp_path, kind, "remove", "--org", "acme", "x-1").stdout == "removed x-1\n"
        for command in ("show", "remove"):
            gone = run(tmp_path, kind, command, "--org", "acme", "x-1")
            assert (gone.exit_code, gone.stderr) == (2, f"sensorcast: acme has no {noun} 'x-1' in the registry\n")


def test_set_changes_only_what_is_given(tmp_path: Path) -> None:
    run(tmp_path, "sites", "set", "--org", "acme", "pier")
    given = ("--name", "Walk-in", "--site", "pier", "--area", "Kitchen", "--metadata", '{"a": true}')
    run(tmp_path, "units", "set", "--org", "acme", "u-1", *given)
    before = shown(tmp_path, "units", "u-1")
    assert run(tmp_path, "units", "set", "--org", "acme", "u-1", "--area", "Cellar").stdout == "changed u-1\n"
    assert shown(tmp_path, "units", "u-1") == before | {"area": "Cellar"}
    run(tmp_path, "units", "set", "--org", "acme", "u-1", "--site", "", "--name", "")
    assert shown(tmp_path, "units", "u-1") == before | {"area": "Cellar", "siteId": None, "name": ""}


def test_lists_are_narrowed_to_a_site_or_a_unit(tmp_path: Path) -> None:
    run(tmp_path, "sites", "set", "--org", "acme", "pier")
    run(tmp_path, "units", "set", "--org", "acme", "u-1", "--site", "pier")
    run(tmp_path, "units", "set", "--org", "acme", "u-2")
    run(tmp_path, "devices", "set", "--org", "acme", "d-1", "--unit", "u-1")
    run(tmp_path, "devices", "set", "--org", "acme", "d-2")
    for arguments, entry_id in ((("units", "--site", "pier"), "u-1"), (("devices", "--unit", "u-1"), "d-1")):
        kind, *only = arguments
        lines = run(tmp_path, kind, "list", "--org", "acme", *only).stdout.splitlines()
        assert [line.split()[0] for line in lines[1:]] == [entry_id]


def test_an_organization_is_named_and_removed_with_all_it_has(tmp_path: Path) -> None:
    assert run(tmp_path, "organizations", "set", "--org", "acme", "--name", "Acme Foods").exit_code == 0
    run(tmp_path, "units", "set", "--org", "acme", "u-1")
    run(tmp_path, "units", "set", "--org", "globex", "u-1")
    assert json.loads(run(tmp_path, "organizations", "show", "--org", "acme").stdout)["name"] == "Acme Foods"
    listed = run(tmp_path, "organizations", "list").stdout.splitlines()
    assert [line.split("  ")[0] for line in listed[1:]] == ["acme", "globex"]
    assert "Acme Foods" in listed[1]
    assert run(tmp_path, "organizations", "remove", "--org", "acme").stdout == "removed acme\n"
    assert run(tmp_path, "organizations", "remove", "--org", "acme").exit_code == 2
    assert run(tmp_path, "units", "list", "--org", "acme").stdout == ""
    assert "u-1" in run(tmp_path, "units", "list", "--org", "globex").stdout


def test_a_list_may_have_many_pages(tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text("unitId\n" + "".join(f"u-{number:04d}\n" for number in range(1_001)))
    assert run(tmp_path, "units", "import", "--org", "acme", str(file)).stdout == "registered 1001 units, changed 0\n"
    lines = run(tmp_path, "units", "list", "--org", "acme").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [f"u-{number:04d}" for number in range(1_001)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("units", "set", "--org", "acme", "no id"), "unitId must be 1-128"),
        (("units", "set", "--org", "no id", "u"), "--org must be"),
        (("units", "set", "--org", "acme", "u", "--site", "nix"), "siteId names a site that is not registered"),
        (("units", "set", "--org", "acme", "u", "--name", "a\x1b[2J"), "name must be"),
        (("units", "set", "--org", "acme", "u", "--metadata", "{"), "--metadata: not strict JSON"),
        (("units", "set", "--org", "acme", "u", "--metadata", "[]"), "--metadata must be a JSON object"),
        (("units", "set", "--org", "acme", "u", "--metadata", '{"a": null}'), "values in metadata"),
        (("devices", "set", "--org", "acme", "d", "--unit", "nix"), "unitId names a unit that is not registered"),
        (("sites", "remove", "--org", "acme", "pier"), "acme has no site 'pier'"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code in {1, 2}
    assert (said in result.stderr, result.stderr.count("\n")) == (True, 1)
    assert run(tmp_path, "units", "list", "--org", "acme").stdout == ""


def test_a_site_with_units_stays(tmp_path: Path) -> None:
    run(tmp_path, "sites", "set", "--org", "acme", "pier")
    run(tmp_path, "units", "set", "--org", "acme", "u-1", "--site", "pier")
    assert "units are registered at this site" in run(tmp_path, "sites", "remove", "--org", "acme", "pier").stderr
    assert shown(tmp_path, "sites", "pier")["siteId"] == "pier"


def test_metadata_cannot_steer_the_terminal_that_shows_it(tmp_path: Path) -> None:
    odd = {"a": "\x1b[2J\x9b2J\x7f\x85"}
    assert run(tmp_path, "sites", "set", "--org", "acme", "x", "--metadata", json.dumps(odd)).exit_code == 0
    for command in (("show", "--org", "acme", "x"), ("list", "--org", "acme", "--json")):
        text = run(tmp_path, "sites", *command).stdout
        assert text.rstrip("\n").isprintable()
        assert json.loads(text)["metadata"] == odd


def test_a_server_started_with_higher_bounds_is_met_with_the_same_option(tmp_path: Path) -> None:
    low = ("--registry-sites-max", "1")
    assert run(tmp_path, "sites", "set", "--org", "acme", "a", *low).exit_code == 0
    refused = run(tmp_path, "sites", "set", "--org", "acme", "b", *low)
    assert (refused.exit_code, "registry_sites_max" in refused.stderr) == (1, True)
    assert run(tmp_path, "sites", "set", "--org", "acme", "b", "--registry-sites-max", "2").exit_code == 0
