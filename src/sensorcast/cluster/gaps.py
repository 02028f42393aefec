"""Whether everything that other nodes published on the channels we listen to has arrived.

Owns the last number heard of each node on each channel. The invariant: a message that was lost while we listened is
noticed, by the number of the next one or by the second beat that is ahead of what was heard; what was published before
we listened is no loss, because the store had it by then and is read afterwards. What was heard once is not taken again,
neither after we listened anew nor after its node has gone: the last numbers are remembered for as long as a message may
pass for a fresh one, and the first one that is heard of a sender has to be fresh.

Limit: `PAST_MAX` last numbers of senders that are heard no more. Policy: the oldest leave; their messages are then
bounded by their age alone.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final

from sensorcast.wire.bus import Head, Readings

Sender = tuple[str, int]
"""(origin, epoch): one numbering."""


PAST_MAX: Final = 200_000
"""Two restarts of a node of 100,000 organizations."""


class Verdict(Enum):
    """What the number of a message says."""

    NEXT = "next"
    """Nothing is missing."""
    UNSURE = "unsure"
    """The first that was heard of its sender, which has sent something since we listen that we did not hear."""
    MISSED = "missed"
    """Others before it are missing."""
    REPLAYED = "replayed"
    """It was here before, or its place was given up: not to be taken again."""
    STALE = "stale"
    """The first that was heard of its sender, and too old to be told from a recording."""


class _Heard:
    __slots__ = ("expected", "seq", "well_s")

    def __init__(self, seq: int, well_s: float) -> None:
        self.well_s = well_s
        """When nothing was missing last."""
        self.seq = seq
        """The last number heard, or held for lost."""
        self.expected = seq
        """What the last beat said there is."""


class _Channel:
    __slots__ = ("heard", "since_s", "unheard")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.heard: dict[Sender, _Heard] = {}
        self.unheard: dict[Sender, int] = {}
        """What a beat said of senders of whom nothing was heard: the next one decides."""


class Gaps:
    """The numbers heard on the channels that are listened to. `now_s` is any steady clock, always the same.

    `remembered_s`: for how long a message may pass for a fresh one after it was heard.
    """

    def __init__(self, remembered_s: float) -> None:
        self._remembered_s = remembered_s
        self._channels: dict[str, _Channel] = {}
        self._past: OrderedDict[tuple[str, Sender], tuple[int, float]] = OrderedDict()
        """Last numbers of senders that are heard no more, and until when they are remembered; in that order."""

    def begin(self, channel: str, now_s: float) -> None:
        """We listen from now on; what was heard before does not count, and is not taken again."""
        self.end(channel, now_s)
        self._channels[channel] = _Channel(now_s)

    def end(self, channel: str, now_s: float) -> None:
        """We listen no more."""
        known = self._channels.pop(channel, None)
        for sender, heard in known.heard.items() if known is not None else ():
            self._remember(channel, sender, heard, now_s)

    def forget(self, sender: Sender, now_s: float) -> None:
        """A node is gone."""
        for channel, known in self._channels.items():
            heard = known.heard.pop(sender, None)
            known.unheard.pop(sender, None)
            if heard is not None:
                self._remember(channel, sender, heard, now_s)

    def expire(self, now_s: float) -> None:
        """Forget numbers below which nothing can pass for a fresh message any more."""
        while self._past and next(iter(self._past.values()))[1] <= now_s:
            self._past.popitem(last=False)

    def _remember(self, channel: str, sender: Sender, heard: _Heard, now_s: float) -> None:
        self._past[channel, sender] = heard.seq, now_s + self._remembered_s
        self._past.move_to_end((channel, sender))
        if len(self._past) > PAST_MAX:
            self._past.popitem(last=False)

    def judge(self, message: Readings, now_s: float, *, is_fresh: bool) -> Verdict:
        """Take note of a message and say what its number means; before we listen it means nothing."""
        channel = self._channels.get(message.channel)
        sender = (message.origin, message.epoch)
        heard = None if channel is None else channel.heard.get(sender)
        if channel is None or heard is None:
            past_seq, _ = self._past.get((message.channel, sender), (0, 0.0))
            if message.seq <= past_seq:
                return Verdict.REPLAYED
            if not is_fresh:
                return Verdict.STALE
            return Verdict.NEXT if channel is None else self._first(channel, message, now_s)
        if message.seq <= heard.seq:
            return Verdict.REPLAYED
        missed = message.seq > heard.seq + 1
        heard.seq = message.seq
        if missed:
            return Verdict.MISSED
        heard.well_s = now_s
        return Verdict.NEXT

    def _first(self, channel: _Channel, message: Readings, now_s: float) -> Verdict:
        sender = (message.origin, message.epoch)
        channel.heard[sender] = _Heard(message.seq, now_s)
        channel.unheard.pop(sender, None)
        return Verdict.UNSURE if _is_since(message.since_ms, channel.since_s, now_s) else Verdict.NEXT

    def is_behind(self, sender: Sender, head: Head, now_s: float) -> bool:
        """Take note of a head, and tell whether something that an earlier beat spoke of has not come since."""
        channel = self._channels.get(head.channel)
        if channel is None:
            return False
        heard = channel.heard.get(sender)
        if heard is not None:
            behind = heard.seq < heard.expected
            heard.seq = max(heard.seq, heard.expected)
            heard.expected = head.seq
            if heard.seq >= head.seq and not behind:
                heard.well_s = now_s
            return behind
        if not _is_since(head.since_ms, channel.since_s, now_s):
            channel.heard[sender] = _Heard(head.seq, now_s)
            return False
        if sender not in channel.unheard:
            channel.unheard[sender] = head.seq
            return False
        channel.heard[sender] = _Heard(channel.unheard.pop(sender), channel.since_s)
        channel.heard[sender].expected = head.seq
        return True

    def well_s(self, channel: str, sender: Sender) -> float | None:
        """When nothing of a sender was missing last; asked right after a verdict to the contrary."""
        known = self._channels.get(channel)
        heard = None if known is None else known.heard.get(sender)
        return None if heard is None else heard.well_s


def _is_since(since_ms: int | None, listening_since_s: float, now_s: float) -> bool:
    """Whether what was `since_ms` ago may have been after we began to listen."""
    return since_ms is not None and since_ms <= (now_s - listening_since_s) * 1_000
