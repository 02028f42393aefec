"""The processor time of a server on this machine, found by the port it listens on.

Owns reading `/proc`; on another system, for a server elsewhere, or for one of another user, there is simply no answer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PROC: Final = Path("/proc")


def process_listening(host: str, port: int) -> int | None:
    """The id of the process that listens on `port` here; None when there is none to be seen."""
    inodes = _listening_inodes(port) if host in _LOCAL_HOSTS else set()
    if not inodes:
        return None
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(os.readlink(link) in inodes for link in process.glob("fd/*")):
                return int(process.name)
        except OSError:
            continue
    return None


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
