"""`make demo`'s program: a server and a simulated fleet, watched by a stock client with the token it prints."""

from __future__ import annotations

import re

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

LEAST_UNITS = 24
LINK = re.compile(r"(http://\S+)/#token=(\S+)")


@pytest.fixture
def demo(tmp_path):
    """A running demo."""
    server = ServerProcess(tmp_path / "demo", command=("demo",)).start()
    yield server
    server.close()


def test_demo_shows_a_moving_fleet_to_whoever_follows_the_printed_link(demo, browser_client):
    link = wait_until(lambda: LINK.search(plain_output(demo)), within_s=10, what="a login link")
    assert link[1] == demo.url
    client = browser_client(demo.url, token=link[2]).connected()
    wait_until(lambda: len(moving_units(client)) >= LEAST_UNITS, within_s=30, what=f"{LEAST_UNITS} moving units")
    assert len(client.call("get:latest:all")) >= LEAST_UNITS
    assert "sensorcast" in demo.http.get("/").text.lower()


def plain_output(server):
    """What the demo printed for people: everything but log lines."""
    lines = server.output.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("{"))


def moving_units(client):
    """Units that sent more than one temperature."""
    seen = {}
    for batch in client.batches():
        seen.setdefault(batch["unitId"], set()).update(item["temperature"] for item in batch["readings"])
    return [unit_id for unit_id, temperatures in seen.items() if len(temperatures) > 1]
