"""Which of several processes of one machine this is, and where the others are reached.

Owns the names of the sockets in the private folder they share, and the mark by which a session id tells its worker. The
invariant: a number taken from a session id is one of these workers or nothing, so no id leads anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sensorcast.errors import ConfigurationError

_MARK: Final = "."
"""Between number and random part of a session id; not one of the characters that random parts are made of."""
_DIGITS_MAX: Final = 3
SOCKET_PATH_MAX_BYTES: Final = 107
"""Longest address of a Unix socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One of `count` worker processes on a port; by default the only one, which shares nothing with anybody."""

    index: int = 0
    count: int = 1
    folder: Path = Path()
    """Where the sockets between workers are; closed to other users."""
    starts: int = 1
    """How often this worker was started, this time included."""

    @property
    def others(self) -> tuple[int, ...]:
        """The numbers of the other workers."""
        return tuple(index for index in range(self.count) if index != self.index)

    @property
    def is_first(self) -> bool:
        """Whether work that one worker does for all is this one's."""
        return self.index == 0

    @property
    def sid_prefix(self) -> str:
        """What this worker's session ids begin with."""
        return "" if self.count == 1 else f"{self.index}{_MARK}"

    def owner(self, sid: str) -> int | None:
        """The number of the other worker that gave out `sid`; None when it is ours, nobody's or nonsense."""
        digits, mark, _ = sid[: _DIGITS_MAX + 1].partition(_MARK)
        if not mark or not (digits.isascii() and digits.isdecimal()):
            return None
        index = int(digits)
        return index if index != self.index and index < self.count else None

    def handover_path(self, index: int) -> Path:
        """Where worker `index` takes connections over."""
        return self.folder / f"handover-{index}"

    def http_path(self, index: int) -> Path:
        """Where worker `index` answers the requests of the other workers."""
        return self.folder / f"http-{index}"


ALONE: Final = Worker()


def check_folder(folder: Path) -> None:
    """Raise `ConfigurationError` when the names of sockets in `folder` would be too long for the system."""
    longest = Worker(folder=folder).handover_path(10**_DIGITS_MAX - 1)
    if len(str(longest).encode()) > SOCKET_PATH_MAX_BYTES:
        raise ConfigurationError(
            f"the folder of the workers' sockets has too long a name: {folder}",
            hint="Name a shorter temporary folder in TMPDIR.",
        )
