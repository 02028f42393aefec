"""A full disk: refused with 507, said by /readyz, reading goes on, and it heals by itself.

`tests/store/test_sqlite_writer.py` has the same for everybody, with a bound on the database's pages; a file system of
its own size needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.test_kill import NO_QUOTA
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.node import NodeClient
from tests.support.server import ServerProcess, reading
from tests.support.waiting import wait_until

SIZE_BYTES = 16 * 1024 * 1024
HEAL_S = 30


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


if os.geteuid() == 0:

    def test_a_full_disk_is_refused_said_survived_and_healed(tmp_path, browser_client):
        server = ServerProcess(tmp_path / "server", {**NO_QUOTA, "flush_interval_ms": 100})
        with small_disk(server.data):
            try:
                fill_and_heal(server.start(), browser_client)
            finally:
                server.close()


def fill_and_heal(server: ServerProcess, browser_client) -> None:
    """Fill the disk under load, look around, make room."""
    organization, ledger = server.organization(), Ledger()
    watcher = browser_client(server.url, token=organization.viewer_token).connected()
    ballast = server.data / "ballast"
    with Gateways(organization, 2, ledger):
        wait_until(lambda: len(ledger.acknowledged) >= 50, within_s=30, what="acknowledged readings")
        fill(ballast)
        wait_until(lambda: 507 in ledger.refused, within_s=60, what="a refusal with 507")
    refusal = organization.post(reading("one-more"))
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (507, "storage_full")
    ready = server.http.get("/readyz")
    assert (ready.status_code, "full" in ready.text) == (503, True)
    assert server.http.get("/healthz").status_code == 200
    assert organization.get("units/unit-0/latest").status_code == 200
    assert watcher.call("get:latest", "unit-0")["unitId"] == "unit-0"
    wait_until(lambda: are_shown(ledger, watcher), within_s=30, what="everything acknowledged, live")
    ballast.unlink()
    wait_until(lambda: server.http.get("/readyz").status_code == 200, within_s=HEAL_S, what="readiness")
    [reading_id] = organization.post(reading("after")).json()["readingIds"]
    watcher.wait_for_reading(reading_id)
    assert_nothing_lost(server, organization, ledger, besides={"after"})


def are_shown(ledger: Ledger, watcher: NodeClient) -> bool:
    return ledger.acknowledged.keys() <= {each["id"] for each in watcher.readings()}


def fill(ballast: Path) -> None:
    """Take all the space there is."""
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
                file.flush()
        except OSError:
            return
