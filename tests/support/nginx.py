"""nginx before several nodes, configured as the documentation recommends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.test_documentation import answers, blocks
from tests.e2e.test_reverse_proxy import AROUND
from tests.support.ports import free_port
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

PAGE = "docs/how-to/several-nodes.md"
PLACES = ("10.0.0.11:8080", "10.0.0.12:8080")
ADDRESSES = "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;"
"""All clients of a test have one address; so they may say what they want to be taken for."""


@contextmanager
def nginx_before(nodes: Sequence[ServerProcess], folder: Path) -> Iterator[str]:
    """Run it before two nodes; gives its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    [documented] = blocks(PAGE, "nginx")
    documented = documented.replace("listen 80", f"listen 127.0.0.1:{port}")
    for place, node in zip(PLACES, nodes, strict=True):
        documented = documented.replace(place, f"127.0.0.1:{node.port}")
    configuration = folder / "nginx.conf"
    configuration.write_text(AROUND.format(folder=folder, documented=f"{ADDRESSES}\n{documented}"))
    process = subprocess.Popen(
        ["nginx", "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), within_s=30, what="nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
