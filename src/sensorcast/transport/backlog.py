"""What a slow client is still owed: for each unit its newest batch only, and whether it moves at all.

Owns the conflation of one blocked connection; made when its socket blocks, gone when it has drained. The invariant:
it holds at most one frame per conflation key, all shared with other subscribers: it costs references, not bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sensorcast.metrics import BATCHES_CONFLATED
from sensorcast.wire.frame import Bundle, Frame


class Backlog:
    """Newest frames by key, in the order of their first arrival."""

    __slots__ = ("_pending", "drained_bytes", "lost", "progress_at_s")

    def __init__(self, drained_bytes: int, now_s: float) -> None:
        self._pending: dict[str, Frame] = {}
        self.lost = False
        """True once a batch was replaced: the client must be told."""
        self.drained_bytes = drained_bytes
        """Bytes the socket had taken when it was last looked at; no growth means no progress."""
        self.progress_at_s = now_s

    def __len__(self) -> int:
        return len(self._pending)

    def offer(self, frame: Frame) -> bool:
        """Keep `frame` unless a newer one of its key is kept; False when it may not be conflated at all."""
        conflation = frame.conflation
        if conflation is None:
            return False
        kept = self._pending.get(conflation.key)
        if kept is not None:
            self.lost = True
            BATCHES_CONFLATED.inc()
            if kept.conflation is not None and kept.conflation.rank > conflation.rank:
                return True
        self._pending[conflation.key] = frame
        return True

    def take(self, max_bytes: int) -> Bundle:
        """Take the oldest frames, about `max_bytes` of them but at least one."""
        taken: list[Frame] = []
        size = 0
        for key in self._keys():
            frame = self._pending.pop(key)
            taken.append(frame)
            size += len(frame.websocket)
            if size >= max_bytes:
                break
        return Bundle(taken)

    def _keys(self) -> Iterator[str]:
        return iter(list(self._pending))
