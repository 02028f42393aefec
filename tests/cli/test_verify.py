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
