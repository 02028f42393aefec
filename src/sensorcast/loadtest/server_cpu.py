"""The processor time of a server on this machine, found by the port it listens on.

All processes that listen there are the server: each worker of `serve --workers N` has a socket of its own on the port.

Owns reading `/proc`; on another system, for a server elsewhere, or for one of another user, there is simply no answer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PROC: Final = Path("/proc")


def processes_listening(host: str, port: int) -> list[int]:
    """The ids of all processes that listen on `port` here; none when there are none to be seen."""
    inodes = _listening_inodes(port) if host in _LOCAL_HOSTS else set()
    return [int(process.name) for process in _PROC.glob("[0-9]*") if inodes and _has_one_of(inodes, process)]


def _has_one_of(inodes: set[str], process: Path) -> bool:
    try:
        return any(os.readlink(link) in inodes for link in process.glob("fd/*"))
    except OSError:  # it has ended, closed this one just now, or is not ours to look at
        return False


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        path = _PROC / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}"):
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def cpu_s(process_id: int) -> float | None:
    """Processor time the process has used, in seconds; None when it is gone."""
    try:
        fields = (_PROC / str(process_id) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ServerCpu:
    """Measures, from now on, what the server at an address uses."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._before_s = self._used_s()

    def used_s(self) -> float | None:
        """Give what all its processes have used since; None when there are none to be seen.

        What a worker used that has ended since is missing; one that has begun since counts from its beginning.
        """
        used_s = self._used_s()
        if not self._before_s or not used_s:
            return None
        return sum(total_s - self._before_s.get(process_id, 0.0) for process_id, total_s in used_s.items())

    def _used_s(self) -> dict[int, float]:
        totals = {process_id: cpu_s(process_id) for process_id in processes_listening(self._host, self._port)}
        return {process_id: total_s for process_id, total_s in totals.items() if total_s is not None}
