"""The server processes the suite judges: `examples/conformance_server.py`, npm socket.io, and `library_server.py`.

Owns starting them on a free port, waiting until they listen, and stopping them. A sensorcast server that wrote a
traceback fails the session, whatever was sent to it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]
START_DEADLINE_S: Final = 60.0
STOP_DEADLINE_S: Final = 20.0


@dataclass
class ServerProcess:
    """One running server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    def stop(self) -> None:
        """End the process, and fail when it had trouble of its own."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_DEADLINE_S)
        stopped_by_itself = self.process.poll() is not None
        self.process.kill()
        self.process.wait()
        log = self.log_path.read_text(errors="replace")
        assert self.name == "reference" or "Traceback" not in log, f"the server logged a traceback:\n{log[-8000:]}"
        assert stopped_by_itself, f"{self.name} did not stop within {STOP_DEADLINE_S} s of SIGTERM"


def command(name: str, port: int, ping_interval_ms: int, ping_timeout_ms: int) -> list[str]:
    """The command line that starts a server of this kind."""
    if name == "reference":
        script = ROOT / "tests/conformance/reference_server.mjs"
        return ["node", str(script), str(port), str(ping_interval_ms), str(ping_timeout_ms)]
    if name == "library":
        return [sys.executable, str(ROOT / "tests/conformance/library_server.py"), "--port", str(port)]
    script = ROOT / "examples/conformance_server.py"
    heartbeat = ["--ping-interval-ms", str(ping_interval_ms), "--ping-timeout-ms", str(ping_timeout_ms)]
    return [sys.executable, str(script), "--port", str(port), *heartbeat]


def start(
    name: str,
    log_path: Path,
    *flags: str,
    port: int | None = None,
    ping_interval_ms: int = 300,
    ping_timeout_ms: int = 200,
) -> ServerProcess:
    """Start a server, with further flags of its own, and return once it accepts connections."""
    chosen = port or free_port()
    with log_path.open("ab") as log:
        arguments = [*command(name, chosen, ping_interval_ms, ping_timeout_ms), *flags]
        process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    deadline = time.monotonic() + START_DEADLINE_S
    while not accepts(chosen):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"{name} did not start:\n{log_path.read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)
    return ServerProcess(name, chosen, process, log_path)


def stop_all(running: Iterable[ServerProcess]) -> None:
    """Stop every server, also after one that had trouble of its own; then fail with all of it."""
    troubles: list[str] = []
    for server in running:
        try:
            server.stop()
        except AssertionError as exc:
            troubles.append(str(exc))
    assert not troubles, "\n".join(troubles)


def accepts(port: int) -> bool:
    """Tell whether something listens on a port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
