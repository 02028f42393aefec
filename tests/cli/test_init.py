"""Claims about the command itself."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sensorcast.cli import main


@pytest.mark.parametrize("command", [[], ["keys"]])
def test_no_command_prints_help(command: list[str]) -> None:
    assert "Commands:" in CliRunner().invoke(main, command).output


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("sensorcast, version ")
