"""A running demo, for everything that is seen by following its link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

LINK = re.compile(r"http://\S+/#token=\S+")


@dataclass(frozen=True)
class Demo:
    """What `sensorcast demo` started, and the link it printed."""

    server: ServerProcess
    link: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo."""
    server = ServerProcess(tmp_path_factory.mktemp("demo"), command=("demo",)).start()
    found = wait_until(
        lambda: LINK.search(server.output.read_text(encoding="utf-8")), within_s=30, what="a printed login link"
    )
    yield Demo(server, found.group())
    server.close()
