"""Claims about the import of units: all lines or none, and again without harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result

from .test_registry import run, shown


def imported(data: Path, text: str | bytes, *options: str) -> Result:
    file = data / "units.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return run(data, "units", "import", "--org", "acme", str(file), *options)


def test_units_are_registered_and_imported_again_without_harm(tmp_path: Path) -> None:
    text = '\ufeffunitId,name,siteId,area\r\nu-1,"Walk-in, left",pier,Kitchen\r\nu-2,Ünit,,\r\n'
    assert imported(tmp_path, text, "--create-sites").stdout == "registered 2 units, changed 0\n"
    one, two = shown(tmp_path, "units", "u-1"), shown(tmp_path, "units", "u-2")
    assert (one["name"], one["siteId"], one["area"]) == ("Walk-in, left", "pier", "Kitchen")
    assert (two["name"], two["siteId"], two["area"]) == ("Ünit", None, "")
    assert imported(tmp_path, text).stdout == "registered 0 units, changed 2\n"
    assert (shown(tmp_path, "units", "u-1"), shown(tmp_path, "units", "u-2")) == (one, two)


def test_what_the_file_has_no_column_for_stays(tmp_path: Path) -> None:
    run(tmp_path, "units", "set", "--org", "acme", "u-1", "--area", "Kitchen", "--metadata", '{"a": 1}')
    before = shown(tmp_path, "units", "u-1")
    imported(tmp_path, "name,unitId\nWalk-in,u-1\n")
    assert shown(tmp_path, "units", "u-1") == before | {"name": "Walk-in"}


def test_sites_that_are_not_registered_are_named(tmp_path: Path) -> None:
    refused = imported(tmp_path, "unitId,siteId\nu-1,pier\nu-2,\n")
    assert refused.exit_code == 2
    assert "the first is pier (--create-sites registers them)" in refused.stderr
    assert run(tmp_path, "units", "list", "--org", "acme").stdout == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line must be unitId"),
        ("name\nx\n", "the first line must be unitId"),
        ("unitId,colour\nu,red\n", "the first line must be unitId"),
        ("unitId,name,name\nu,a,b\n", "the first line must be unitId"),
        ("unitId\nu-1\nno id\n", "line 3: unitId must be 1-128"),
        ("unitId,name\nu-1,a\x07b\n", "line 2: name must be"),
        ("unitId,name\nu-1\n", "line 2: it has more or fewer cells"),
        ("unitId\nu-1,x\n", "line 2: it has more or fewer cells"),
        ("unitId\nu-1\nu-2\nu-1\n", "line 4: unitId stands in an earlier line"),
        ('unitId,name\nu-1,"a\n', "unexpected end of data"),
        (b"unitId,name\nu-1,\xff\n", "the file must be UTF-8"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_written(tmp_path: Path, text: str | bytes, said: str) -> None:
    refused = imported(tmp_path, text)
    assert (refused.exit_code, said in refused.stderr, refused.stderr.count("\n")) == (2, True, 1), refused.stderr
    assert run(tmp_path, "units", "list", "--org", "acme").stdout == ""


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    refused = run(tmp_path, "units", "import", "--org", "acme", str(tmp_path / "nothing.csv"))
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
