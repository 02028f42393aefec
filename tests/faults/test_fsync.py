"""The disk has it before the client hears of it: seen in the system calls of the process.

The control is a server with `synchronous=NORMAL`, which must fail the same check: else the check would see nothing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.server import ServerProcess, reading
from tests.support.waiting import wait_until

REQUESTS = 20
NORMAL = """
import sys
from sensorcast.store import sqlite_writer
durable = sqlite_writer.open_writer
def open_careless(*arguments):
    connection = durable(*arguments)
    connection.pragma("synchronous", "normal")
    return connection
sqlite_writer.open_writer = open_careless
from sensorcast.cli import main
sys.exit(main(prog_name="sensorcast"))
"""
SYNCED = re.compile(r"(fsync|fdatasync)(\(.*\) += 0|.* resumed>.* = 0)")
ANSWERED = re.compile(r"(write|writev|sendto|sendmsg)\(.*HTTP/1\.1 200")


def answers_before_sync(folder: Path, *program: str) -> int:
    """Run a server under strace, send readings one by one; count the answers without a sync since the one before."""
    trace = folder / "trace"
    calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
    tracer = ("strace", "-D", "-f", "-qq", "-s", "64", "-e", calls, "-e", "signal=none", "-o", str(trace))
    server = ServerProcess(folder / "server", program=(*tracer, *program)).start()
    try:
        organization = server.organization()
        organization.post(reading("first")).raise_for_status()
        start = len(traced(trace, answers=2))  # to it, and that the server is ready
        for number in range(REQUESTS):
            organization.post(reading(f"unit-{number}")).raise_for_status()
        lines = traced(trace, answers=2 + REQUESTS)[start:]
    finally:
        server.close()
    return count_unsynced(lines)


def traced(trace: Path, *, answers: int) -> list[str]:
    """Give the lines of the trace when it has so many answers: a client may have one before the tracer has noted it."""

    def lines() -> list[str]:
        found = trace.read_text(errors="replace").splitlines()
        return found if sum(bool(ANSWERED.search(line)) for line in found) >= answers else []

    return wait_until(lines, within_s=30, what="every answer in the trace")


def count_unsynced(lines: list[str]) -> int:
    """Count the answers that no completed sync came before since the answer before."""
    synced, answers, unsynced = False, 0, 0
    for line in lines:
        if SYNCED.search(line):
            synced = True
        elif ANSWERED.search(line):
            answers += 1
            unsynced += not synced
            synced = False
    assert answers >= REQUESTS
    return unsynced


def test_every_answer_comes_after_the_sync(tmp_path: Path) -> None:
    assert answers_before_sync(tmp_path, sys.executable, "-m", "sensorcast") == 0


def test_a_server_that_does_not_wait_for_the_disk_is_found_out(tmp_path: Path) -> None:
    assert answers_before_sync(tmp_path, sys.executable, "-c", NORMAL) > REQUESTS / 2


@pytest.mark.parametrize(
    ("lines", "unsynced"),
    [
        (["1 fdatasync(7) = 0", '1 write(9, "HTTP/1.1 200 OK"'], 0),
        (["1 fdatasync(7 <unfinished ...>", '1 write(9, "HTTP/1.1 200 OK"', "1 <... fdatasync resumed>) = 0"], 1),
        (["1 fdatasync(7) = -1 EIO", '1 write(9, "HTTP/1.1 200 OK"'], 1),
    ],
    ids=["before", "under way", "failed"],
)
def test_the_check_knows_a_sync_that_is_not_complete(lines, unsynced, monkeypatch) -> None:
    monkeypatch.setattr(f"{__name__}.REQUESTS", 1)
    assert count_unsynced(lines) == unsynced
