"""Resident memory of a server process, for tests that it returns to its level."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
# Allocators keep some of what they once had; what an attack leaks, it leaks again and again.
TOLERANCE_BYTES: Final = 8 * MIB
_SETTLE_S: Final = 10.0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def expect_level(pid: int, level_bytes: int) -> None:
    """Wait until the process is back at its level; fail when it does not get there."""
    try:
        async with asyncio.timeout(_SETTLE_S):
            while resident_bytes(pid) > level_bytes + TOLERANCE_BYTES:
                await asyncio.sleep(0.1)
    except TimeoutError:
        now = resident_bytes(pid)
        raise AssertionError(f"{now / MIB:.1f} MiB resident, {level_bytes / MIB:.1f} MiB before") from None
