"""Claims about arguments: every setting has its option, every mistake is one line and exit code 2."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensorcast.cli import main
from sensorcast.cli.server import serve
from sensorcast.settings import Settings


def test_every_setting_is_an_option_of_serve() -> None:
    assert {parameter.name for parameter in serve.params} >= {row.name for row in dataclasses.fields(Settings)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "99999"], "--port (SENSORCAST_PORT) must be between 0 and 65535, not 99999"),
        (["serve", "--port", "http"], "--port (SENSORCAST_PORT) must be a int, not 'http'"),
        (["serve", "--no-such-thing"], "No such option '--no-such-thing'"),
        (["dance"], "No such command 'dance'."),
        (["token", "--org", "no id"], "--org must be 1 to 128 of A-Z a-z 0-9 _ . : -"),
        (["token", "--org", "acme", "--ttl", "soon"], "--ttl must be a time like 90s, 30m, 1h or 7d, not 'soon'"),
        (["token", "--org", "acme", "--ttl", "0h"], "--ttl must be a time like 90s, 30m, 1h or 7d, not '0h'"),
        (["token", "--org", "acme", "--ttl", "36501d"], "--ttl must be at most 36500d"),
        (["keys", "create", "--org", "acme", "--ttl", "999999999d"], "--ttl must be at most 36500d"),
        (["keys", "create", "--org", "acme", "--name", "a\x1b[31m"], "--name must be at most 200 characters"),
        (["keys", "create", "--org", "acme", "--name", "\udcff"], "what is given must be UTF-8"),
        (["registry", "units", "list", "--org", "acme", "--site", "\udcff"], "what is given must be UTF-8"),
        (["token", "--org", "acme", "--sub", ""], "--sub must have 1 to 256 characters"),
        (["token", "--org", "acme", "--role", "king"], "Invalid value for '--role'"),
        (["keys", "create"], "Missing option '--org'."),
        (["simulate", "--key", "k"], "Missing option '--url'."),
        (["demo", "--units", "0"], "Invalid value for '--units'"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("sensorcast: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORCAST_FLUSH_INTERVAL_MS", "1")
    result = CliRunner().invoke(main, ["serve"])
    assert (result.exit_code, "SENSORCAST_FLUSH_INTERVAL_MS" in result.stderr) == (2, True)


def test_a_variable_that_is_no_text_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORCAST_JWT_SECRET", "a secret of more than thirty-two bytes \udcff")
    result = CliRunner().invoke(main, ["token", "--org", "acme"])
    assert result.exit_code == 2
    assert result.stderr == "sensorcast: --jwt-secret (SENSORCAST_JWT_SECRET) must be UTF-8\n"


def test_a_variable_that_is_no_setting_is_named_with_what_may_be_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENSORCAST_RETENTION_DAY", "a secret value")
    monkeypatch.setenv("SENSORCAST_API_KEY", "for `simulate`")
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--data", str(tmp_path / "file" / "none")])
    said = "sensorcast: SENSORCAST_RETENTION_DAY is no setting and does nothing; is SENSORCAST_RETENTION_DAYS meant?"
    assert result.stderr.splitlines()[0] == said
    assert len(result.stderr.splitlines()) == 2
