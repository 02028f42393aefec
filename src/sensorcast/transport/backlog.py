"""What a slow client is still owed: for each unit its newest batch only, and whether it moves at all.

Owns the conflation of one blocked connection; made when its socket blocks, gone when it has drained. The invariant:
it holds at most one frame per conflation key, all shared with other subscribers: it costs references, not bytes.
"""

from __future__ import annotations

from sensorcast.metrics import BATCHES_CONFLATED
from sensorcast.wire.frame import Bundle, Frame


class Backlog:
    """Newest frames by key, in the order of their first arrival; and what the socket has taken so far.

    Bytes are counted by the carrier from when its socket blocked: `written_bytes` is what it was given since,
    `drained_bytes` what of that it has taken.
    """

    __slots__ = ("_counted_from_bytes", "_drained_bytes", "_pending", "_progress_at_s", "lost")

    def __init__(self, now_s: float) -> None:
        self._pending: dict[str, Frame] = {}
        self.lost = False
        """True once a batch was replaced: the client must be told."""
        self._counted_from_bytes = 0
        self._drained_bytes = 0
        self._progress_at_s = now_s

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, *, written_bytes: int, drained_bytes: int, soft_bytes: int) -> None:
        """Begin to count: the socket is owed more than `soft_bytes`."""
        # Whatever has brought it there was one write to a client that was owed less. However large that answer is, it
        # counts as the soft limit only: who reads it is not cut for having asked for much.
        self._counted_from_bytes = written_bytes - soft_bytes
        self._drained_bytes = drained_bytes

    def owed_bytes(self, written_bytes: int, drained_bytes: int) -> int:
        """What counts against the hard limit."""
        return written_bytes - max(drained_bytes, self._counted_from_bytes)

    def progress(self, now_s: float) -> None:
        """Note that something was taken."""
        self._progress_at_s = now_s

    def stands_since(self, drained_bytes: int, now_s: float) -> float:
        """Seconds for which nothing was taken."""
        if drained_bytes != self._drained_bytes:
            self._drained_bytes, self._progress_at_s = drained_bytes, now_s
        return now_s - self._progress_at_s

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
        for key in list(self._pending):
            frame = self._pending.pop(key)
            taken.append(frame)
            size += len(frame.websocket)
            if size >= max_bytes:
                break
        return Bundle(taken)
