"""Between the pipeline and the stream: readings go to the own stream at once, and to the other nodes soon after.

Reading order: `outgoing`, `numbering` and `pace` (what goes out, and when), `gaps` and `freshness` (whether all that
others sent has come, and just now), `repair` (what did not), `following` (for whom), `nodes` and `echo` (who is there).
Called by the pipeline (add_readings), the gateway (follow, unfollow, followed) and the bus. The invariants: local
delivery waits for no bus; a reading goes to the stream of each node once, whichever node took it in; what cannot be
known to be whole is said to be degraded, and repaired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from sensorcast.cluster import Bus
from sensorcast.cluster.echo import Echo
from sensorcast.cluster.following import Followed, Following
from sensorcast.cluster.freshness import Freshness
from sensorcast.cluster.gaps import Gaps, Sender, Verdict
from sensorcast.cluster.nodes import Gone, Node, Nodes
from sensorcast.cluster.numbering import Numbering
from sensorcast.cluster.outgoing import Outgoing
from sensorcast.cluster.pace import BEAT_S, forward_s
from sensorcast.cluster.repair import Brought, Repairs, Sink, Snapshots
from sensorcast.metrics import BUS_GAPS, BUS_HEARD, BUS_IGNORED, BUS_PUBLISHED, CLUSTER_NODES, STREAM_ERRORS
from sensorcast.model import Reading
from sensorcast.wire.bus import Beat, BusCodec, Message, Readings, Refused

BEATS: Final = "beats"
CLOCK_SLACK_US: Final = 5_000_000
"""By how much the clocks of two nodes may differ."""

_MICROS: Final = 1_000_000
_log = structlog.get_logger(__name__)


def channel_of(organization_id: str) -> str:
    """The channel on which the readings of an organization pass."""
    return f"org:{organization_id}"


class Relay:
    """One node's part in the cluster. `start` it within a running loop; end it with `stop`."""

    def __init__(
        self,
        bus: Bus,
        sink: Sink,
        snapshots: Snapshots,
        codec: BusCodec,
        *,
        own: Node,
        flush_interval_s: float,
        queue_max_bytes: int,
        silence_s: float,
        message_age_s: float,
        clock_s: Callable[[], float],
        on_degraded: Callable[[str, int], None],
        on_restored: Callable[[str, int], None],
    ) -> None:
        """`clock_s` gives seconds since 1970.

        `on_degraded(organization_id, since_us)`: its live readings may have holes since then, and
        `on_restored(organization_id, until_us)`: from then on they have none, and the latest readings are right.
        """
        self._bus = bus
        self._sink = sink
        self._codec = codec
        self._own = own
        self._clock_s = clock_s
        self._on_degraded = on_degraded
        self._on_restored = on_restored
        self._forward_s = forward_s(flush_interval_s)
        self._numbering = Numbering()
        self._outgoing = Outgoing(
            bus,
            codec,
            self._numbering,
            sender=(own.origin, own.since_us),
            max_bytes=queue_max_bytes,
            now_us=self._now_us,
        )
        self._freshness = Freshness(message_age_s, clock_s)
        self._gaps = Gaps(self._freshness.remembered_s)
        self._nodes = Nodes(own, self._freshness.remembered_s)
        self._following = Following()
        self._brought = Brought()
        self._repairs = Repairs(
            snapshots, sink, self._brought, since_us=self._snapshot_since_us, done=self._snapshot_done
        )
        self._filled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._echo = Echo(silence_s=silence_s, beat_s=BEAT_S)
        self._well_at_s = clock_s()
        """When the bus was last known to work."""
        self._is_cluster = False
        """Whether anybody else was ever there."""

    # Lifetime

    async def start(self) -> None:
        """Connect to the other nodes; does not wait for any."""
        CLUSTER_NODES.set_function(lambda: len(self._nodes))
        await self._bus.start(self)
        self._bus.listen(BEATS)
        self._repairs.start()
        work = {"sensorcast-forward": self._forward(), "sensorcast-beat": self._beat()}
        self._tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]

    async def stop(self) -> None:
        """Send what is waiting, and leave; harmless a second time."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._repairs.stop()
        await self._outgoing.publish(self._now_s)
        if tasks:
            self._send_beat(leaves=True)
        await self._bus.stop()

    def trouble(self) -> str | None:
        """None while everything that other nodes say is heard; otherwise why not, for `/readyz`."""
        trouble = self._bus.trouble()
        if trouble is None and self._echo.is_missing:
            return "the bus does not bring back our own beats"
        return trouble

    def nodes(self) -> list[Node]:
        """Every node that is heard, and this one."""
        return self._nodes.all()

    # Readings of this node

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        """Take readings that this node has stored: to the stream now, to the other nodes soon."""
        if self._outgoing.add(channel_of(organization_id), readings):
            self._filled.set()
        if self._brought:
            readings = [reading for reading in readings if reading not in self._brought]
        self._sink.add_readings(organization_id, readings)

    async def _forward(self) -> None:
        """Publish a moment after the first reading that waits, so that one message carries many."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._forward_s)
            self._filled.clear()
            try:
                await self._outgoing.publish(self._now_s)
            except Exception:
                _log.exception("forward_failed")

    # Who is followed here

    def follow(self, organization_id: str) -> None:
        """Somebody here follows an organization now; harmless when it is followed already."""
        if self._following.stay(organization_id):
            return
        followed = Followed(organization_id, channel_of(organization_id), self._now_us())
        self._following.add(followed)
        if self.trouble() is not None:
            self._degrade(followed, followed.since_us)
            self._repairs.request(organization_id)  # once at least; again when the bus is back
        self._bus.listen(followed.channel)

    def unfollow(self, organization_id: str) -> None:
        """Nobody here follows an organization any more."""
        self._following.leave(organization_id, self._now_s())

    def is_whole(self, organization_id: str) -> bool:
        """Whether what this node knows of an organization's latest readings was once as good as the store."""
        followed = self._following.get(organization_id)
        return followed is not None and followed.whole.is_set()

    async def followed(self, organization_id: str) -> None:
        """Wait until `is_whole`, but not for long."""
        followed = self._following.get(organization_id)
        if followed is not None:
            await followed.wait_until_whole()

    # What the bus says

    def listening(self, channel: str) -> None:
        """`cluster.Ears`: nothing on `channel` is missed from now on."""
        if channel == BEATS:
            self._echo.excuse()
            self._nodes.excuse(self._now_s())
            self._send_beat()
            return
        self._gaps.begin(channel, self._now_s())
        followed = self._following.on(channel)
        if followed is None:
            return
        followed.is_listening = True
        if self._is_cluster or self._bus.is_heard(BEATS):
            self._repairs.request(followed.organization_id)
        else:  # nobody else was ever there: what this node knows is all there is
            self._snapshot_done(followed.organization_id)

    def deaf(self, reason: str) -> None:
        """`cluster.Ears`: anything may have been missed."""
        self._is_cluster = True
        since_us = round(self._well_at_s * _MICROS)
        _log.warning("cluster_deaf", reason=reason, organizations=len(list(self._following)))
        for followed in self._following:
            followed.is_listening = False
            self._degrade(followed, since_us)

    def heard(self, channel: str, message: bytes) -> None:
        """`cluster.Ears`: a message came, from anybody."""
        try:
            said = self._codec.decode(channel, message)
        except Refused as exc:
            self._ignore(exc.reason)
            return
        is_own = said.origin == self._own.origin
        if isinstance(said, Beat):
            self._hear_own_beat(said) if is_own else self._hear_beat(said)
        elif not is_own:
            self._hear_readings(said)

    def _hear_readings(self, said: Readings) -> None:
        followed = self._following.on(said.channel)
        if followed is None:
            return
        if said.organization_id != followed.organization_id:
            self._ignore("wrong_channel")
            return
        verdict = self._gaps.judge(said, self._now_s(), is_fresh=self._freshness.holds(said.sent_us))
        if verdict is Verdict.REPLAYED:
            self._ignore("replayed")
            return
        if verdict is Verdict.STALE:
            self._distrust(said)
            self._read_instead(followed)
            return
        BUS_HEARD.inc()
        self._is_cluster = True
        if verdict is Verdict.MISSED:
            self._mend(followed, (said.origin, said.epoch))
        elif verdict is Verdict.UNSURE:
            self._repairs.request(followed.organization_id)
        for reading in said.readings:
            self._take(said.organization_id, reading, said.origin)

    def _take(self, organization_id: str, reading: Reading, origin: str) -> None:
        """Hand a reading of another node to the stream; a failure there ends nothing else."""
        try:
            if reading not in self._brought:
                self._sink.add_reading(organization_id, reading, origin)
        except Exception as exc:
            STREAM_ERRORS.inc()
            _log.error("stream_failed", error=repr(exc), unit=reading.unit_id, organization=organization_id)

    # Beats

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                self._expire(self._now_s())
                self._look_for_echo()
                self._send_beat()
            except Exception:
                _log.exception("beat_failed")

    def _expire(self, now_s: float) -> None:
        for followed in self._following.expire(now_s):
            self._bus.unlisten(followed.channel)
            self._gaps.end(followed.channel, now_s)
            self._restore(followed)  # to nobody: it leaves nothing behind
        if self.trouble() is None:  # or the silence may be ours
            for gone in self._nodes.expire(now_s):
                self._part_from(gone, now_s)
        self._gaps.expire(now_s)
        self._brought.expire(now_s)

    def _part_from(self, gone: Gone, now_s: float) -> None:
        """A node has ended. What it had stored and not sent yet only the store knows."""
        self._gaps.forget(gone.sender, now_s)
        is_told = gone.has_left or self._bus.tells_ends
        _log.info("node_gone", origin=gone.sender[0], in_good_order=gone.has_left)
        for followed in self._following:
            if not is_told:
                self._degrade(followed, self._now_us() - round(_MICROS * (now_s - gone.heard_s)))
            self._repairs.request(followed.organization_id)

    def _send_beat(self, *, leaves: bool = False) -> None:
        if not self._bus.is_heard(BEATS):
            self._well_at_s = self._clock_s()
            return
        number = self._echo.send()
        beat = Beat(
            channel=BEATS,
            origin=self._own.origin,
            epoch=self._own.since_us,
            number=number,
            sent_us=self._now_us(),
            name=self._own.name,
            heads=self._numbering.heads(number, self._now_s()),
            leaves=leaves,
        )
        self._bus.publish(BEATS, self._codec.encode_beat(beat))
        BUS_PUBLISHED.inc()
        if not self._bus.echoes and self._bus.trouble() is None:
            self._numbering.arrived(number)
            self._well_at_s = self._clock_s()

    def _look_for_echo(self) -> None:
        """Hold ourselves for deaf when our own beats do not come back, whatever the bus itself thinks."""
        if not self._bus.echoes or self._echo.is_missing or self._bus.trouble() is not None:
            return
        if self._echo.is_overdue:
            self._echo.is_missing = True
            self.deaf("our own beats do not come back")

    def _hear_own_beat(self, said: Beat) -> None:
        if not self._echo.came_back(said.number):
            return
        self._numbering.arrived(said.number)
        self._well_at_s = self._clock_s()
        if self._echo.is_missing:
            self._echo.is_missing = False
            self._nodes.excuse(self._now_s())
            for followed in self._following:
                self.listening(followed.channel)

    def _hear_beat(self, said: Beat) -> None:
        now_s = self._now_s()
        refusal = self._nodes.beat(said, now_s, is_fresh=self._freshness.holds(said.sent_us))
        if refusal is not None:
            self._distrust(said) if refusal == "stale" else self._ignore(refusal)
            return
        BUS_HEARD.inc()
        self._is_cluster = True
        sender = said.origin, said.epoch
        for head in said.heads:
            if self._gaps.is_behind(sender, head, now_s):
                followed = self._following.on(head.channel)
                if followed is not None:
                    self._mend(followed, sender)

    # What is missing

    def _mend(self, followed: Followed, sender: Sender) -> None:
        """Messages of an organization are missing: say so, and read what is latest."""
        BUS_GAPS.inc()
        _log.warning("bus_gap", organization=followed.organization_id, origin=sender[0])
        now_s = self._now_s()
        well_s = self._gaps.well_s(followed.channel, sender)
        self._degrade(followed, self._now_us() - round(_MICROS * (now_s - (now_s if well_s is None else well_s))))
        self._repairs.request(followed.organization_id)

    def _distrust(self, said: Message) -> None:
        """A message is too old, or its sender's clock is wrong, or ours."""
        self._ignore("stale")
        self._freshness.warn(said.origin, said.sent_us)

    def _read_instead(self, followed: Followed) -> None:
        """Read what a message that is too old may hold: it was stored before any such message was sent."""
        if self._now_s() >= followed.stale_until_s:
            followed.stale_until_s = self._now_s() + self._freshness.age_max_s
            self._repairs.request(followed.organization_id)

    def _degrade(self, followed: Followed, since_us: int) -> None:
        if followed.degraded_since_us is None:
            followed.degraded_since_us = max(since_us, followed.since_us)
            self._on_degraded(followed.organization_id, followed.degraded_since_us)

    def _restore(self, followed: Followed) -> None:
        if followed.degraded_since_us is not None:
            followed.degraded_since_us = None
            self._on_restored(followed.organization_id, self._now_us())

    def _snapshot_since_us(self, organization_id: str) -> int | None:
        """From when on readings should have come as messages; older ones have long been flushed, or never will be."""
        followed = self._following.get(organization_id)
        return None if followed is None else followed.since_us - CLOCK_SLACK_US

    def _snapshot_done(self, organization_id: str) -> None:
        followed = self._following.get(organization_id)
        if followed is None:
            return
        followed.whole.set()
        if followed.is_listening:
            self._restore(followed)

    def _ignore(self, reason: str) -> None:
        BUS_IGNORED.labels(reason).inc()

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _now_us(self) -> int:
        return round(self._clock_s() * _MICROS)
