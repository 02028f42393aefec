"""The command `loadtest`: its report and its exit code."""

from __future__ import annotations

from click.testing import CliRunner, Result

from sensorcast.cli import main
from tests.support.server import Organization


def run(organization: Organization, *options: str) -> Result:
    secrets = {"SENSORCAST_API_KEY": organization.key, "SENSORCAST_TOKEN": organization.viewer_token}
    command = ["loadtest", "--url", organization.server.url, "--clients", "3", "--units", "2", "--for", "1s", *options]
    return CliRunner().invoke(main, command, env=secrets)


def test_bounds_that_hold_end_with_success_and_a_report(organization: Organization) -> None:
    result = run(organization, "--max-p99-ms", "60000", "--max-lost", "0", "--max-duplicates", "0")
    assert result.exit_code == 0, result.output
    assert "clients      3, 0 lost" in result.stdout
    assert "0 lost, 0 twice" in result.stdout
    assert "server CPU   0." in result.stdout


def test_a_broken_bound_is_named_and_ends_with_failure(organization: Organization) -> None:
    result = run(organization, "--max-p99-ms", "0", "--max-server-cpu", "100")
    assert result.exit_code == 1
    assert "--max-p99-ms 0 is broken" in result.stderr
    assert "max-server-cpu" not in result.stderr


def test_an_address_that_is_none_is_a_mistake() -> None:
    result = CliRunner().invoke(main, ["loadtest", "--url", "here", "--key", "k", "--token", "t"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
