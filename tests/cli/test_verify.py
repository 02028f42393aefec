"""Claims about `verify-isolation`: finds nothing on a sound server, says what it did, and leaves no live credential."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from sensorcast.cli import main
from tests.support.server import ServerProcess


def test_a_sound_server_passes(shared_server: ServerProcess) -> None:
    printed = shared_server.run_cli("verify-isolation", "--url", shared_server.url, "--operations", "40")
    assert "operations: 40" in printed
    assert printed.endswith("leaks: 0\n")
    assert "verify-" not in shared_server.run_cli("registry", "organizations", "list")


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    arguments = ["verify-isolation", "--url", "http://127.0.0.1:1", "--data", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stderr) == (1, "sensorcast: http://127.0.0.1:1 does not answer: ConnectError\n")


def test_an_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["verify-isolation", "--url", "http://[::1", "--data", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (1, "sensorcast: http://[::1 does not answer: InvalidURL\n")


def test_a_server_that_does_not_take_the_credentials_is_one_line(shared_server: ServerProcess, tmp_path: Path) -> None:
    arguments = ["verify-isolation", "--url", shared_server.url, "--data", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"sensorcast: {shared_server.url} does not take the credentials made here (Give")
    assert result.stderr.count("\n") == 1
