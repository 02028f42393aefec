"""The load client (`native/load_client.c`) as a context: connect, stay, and give what arrived when."""

from __future__ import annotations

import array
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.native import build
from bench.servers import CLIENT_CORE, Launch, Workload, prepare_process

IN_FLIGHT = 128
"""Handshakes under way at a time: enough to keep any server busy, few enough for every accept queue."""


class Joined(msgspec.Struct, frozen=True):
    """How connecting went."""

    joined: int
    failed: int
    seconds: float


class Totals(msgspec.Struct, frozen=True):
    """What the connections have received in all."""

    events: int
    bytes: int
    """Of the WebSocket frames that carried these events."""
    closed: int
    out_of_order: int
    fewest: int
    """Events of the connection that got fewest."""
    most: int


@dataclass(frozen=True)
class Arrivals:
    """One entry for each event that arrived, in order of arrival: its `seq` and its time."""

    seqs: array.array[int]
    times_us: array.array[int]


class LoadClient:
    """All connections of one workload, made when the context is entered."""

    def __init__(self, process: subprocess.Popen[bytes], arrivals: Path) -> None:
        self._process, self._arrivals = process, arrivals
        self.joined = msgspec.json.decode(self._line(), type=Joined)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def finish(self) -> tuple[Totals, Arrivals]:
        """Close all connections and give what they received."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        totals = msgspec.json.decode(self._line(), type=Totals)
        self._process.wait()
        records = array.array("Q", self._arrivals.read_bytes())
        return totals, Arrivals(records[::2], records[1::2])


@contextlib.contextmanager
def connected(workload: Workload, plan: Launch, *, port: int, folder: Path) -> Iterator[LoadClient]:
    """Make all connections of `workload` from the clients' core."""
    payloads, arrivals = folder / "connect.txt", folder / "arrivals.bin"
    payloads.write_text("\n".join(plan.connect_payloads) + "\n")
    command = [
        str(build("load_client")),
        str(port),
        str(workload.connections),
        str(IN_FLIGHT),
        str(payloads),
        str(arrivals),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: prepare_process(CLIENT_CORE)
    ) as process:
        try:
            yield LoadClient(process, arrivals)
        finally:
            process.kill()
