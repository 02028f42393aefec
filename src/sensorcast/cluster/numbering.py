"""The numbers of what this node publishes, so that whoever listens knows when it has missed something.

Owns one count per channel. Each message takes the next number and says how long ago the one before it was; a channel
that has gone quiet is named in the beats, until enough of them were surely sent, so that the loss of a last message is
seen as well. The invariant: a number is never given twice on a channel; what was numbered and not delivered is either
seen as a gap or named in a beat.

Limit: `CHANNELS_MAX`. Policy: the longest unused leaves; its channel goes on above every number given so far, as one
that may have lost something, so that its listeners look into the store once more than they had to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from sensorcast.wire.bus import HEADS_MAX, Head

CHANNELS_MAX: Final = 100_000
QUIET_S: Final = 1.0
"""Age of a channel's last message from which on it is named: until then the next message is expected to tell."""
NAMED_TIMES: Final = 3
"""Beats that name a quiet channel: a listener holds a message for lost when the second of them is ahead of it."""
_UNDER_WAY_MAX: Final = 8
"""Beats remembered whose own echo has not come; older ones are taken for lost."""


class _Channel:
    __slots__ = ("at_s", "named", "seq")

    def __init__(self, seq: int, at_s: float) -> None:
        self.seq = seq
        self.at_s = at_s
        self.named = 0


class Numbering:
    """Counts the messages of one node. `now_s` is any steady clock, always the same."""

    def __init__(self, channels_max: int = CHANNELS_MAX) -> None:
        self._channels: OrderedDict[str, _Channel] = OrderedDict()
        self._unsettled: dict[str, None] = {}
        self._channels_max = channels_max
        self._floor = 0
        """The highest number of any channel that has left."""
        self._beats_under_way: OrderedDict[int, Collection[str]] = OrderedDict()

    def next(self, channel: str, now_s: float) -> tuple[int, int | None]:
        """Give the number of the next message on `channel`, and the milliseconds since the one before it.

        None stands for no message before it; 0 may stand for one that was forgotten.
        """
        known = self._channels.get(channel)
        since_ms: int | None
        if known is None:
            since_ms = 0 if self._floor else None
            self._channels[channel] = known = _Channel(self._floor + 1, now_s)
            if len(self._channels) > self._channels_max:
                self._evict()
        else:
            since_ms = round((now_s - known.at_s) * 1_000)
            known.seq, known.at_s, known.named = known.seq + 1, now_s, 0
            self._channels.move_to_end(channel)
        self._unsettled[channel] = None
        return known.seq, since_ms

    def heads(self, beat: int, now_s: float) -> list[Head]:
        """Give what beat number `beat` has to say of channels that have gone quiet."""
        quiet: list[Head] = []
        for channel in self._unsettled:
            known = self._channels[channel]
            if now_s - known.at_s >= QUIET_S:
                quiet.append(Head(channel, known.seq, round((now_s - known.at_s) * 1_000)))
                if len(quiet) == HEADS_MAX:
                    break
        for head in quiet:  # behind the others, so that next time it is their turn
            self._unsettled[head.channel] = self._unsettled.pop(head.channel)
        self._beats_under_way[beat] = [head.channel for head in quiet]
        if len(self._beats_under_way) > _UNDER_WAY_MAX:
            self._beats_under_way.popitem(last=False)
        return quiet

    def arrived(self, beat: int) -> None:
        """Beat number `beat` has reached everybody who listens."""
        for channel in self._beats_under_way.pop(beat, ()):
            known = self._channels.get(channel)
            if known is not None:
                known.named += 1
                if known.named >= NAMED_TIMES:
                    self._unsettled.pop(channel, None)

    def _evict(self) -> None:
        channel, known = self._channels.popitem(last=False)
        self._unsettled.pop(channel, None)
        self._floor = max(self._floor, known.seq)
