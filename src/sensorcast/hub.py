"""Rooms of this node: who is in which, and the fan-out of frames to them.

Owns room membership, on both sides (a room's members and a subscriber's rooms), and the one loop that hands bytes to
subscribers; `transport` joins and drops, `broadcaster` publishes. The invariant: whatever rooms a subscriber is in, one
publish or emit reaches it in one call, each frame once, in order. The loop is a plain `def`: no await, no task, and no
encoding or joining per subscriber. A publish to many comes in slices, so that the event loop is never held for long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from sensorcast.metrics import DELIVER_ERRORS
from sensorcast.wire.frame import Bundle, Frame

_log = structlog.get_logger(__name__)

NO_ROOMS: Final[frozenset[str]] = frozenset()
"""What `Subscriber.rooms` is before the first join, shared by all."""


SLICE_COST_BYTES: Final = 4 * 1024 * 1024
"""What one slice of a publish may cost: about 5 ms of writing, well below the 20 ms that a request may wait for us."""
DELIVERY_COST_BYTES: Final = 8 * 1024
"""What a delivery costs beside its bytes: a write takes about as long as the kernel needs to copy that much more."""


class Subscriber(Protocol):
    """Who is in rooms: a socket, seen from above. Hashed by identity; `transport` implements it."""

    rooms: frozenset[str]
    """The rooms it is in; starts as `NO_ROOMS`, and only the hub assigns it."""

    def deliver(self, bundle: Bundle) -> None:
        """Send every frame of `bundle`, in order. Must not wait or raise; may leave rooms; harmless once dropped."""
        ...


class Batch(NamedTuple):
    """One frame of a flush, and the rooms narrower than the organization (unit, site) that get it."""

    rooms: tuple[str, ...]
    frame: Frame
    instead: frozenset[str] = NO_ROOMS
    """Who is in one of these follows the same at another rate, and gets nothing here."""

    def is_for(self, rooms: frozenset[str]) -> bool:
        """Whether somebody in `rooms`, who does not follow the whole organization, gets it."""
        return not rooms.isdisjoint(self.rooms) and rooms.isdisjoint(self.instead)


class _Room:
    """Members of one room, and the room set that all who are in no other room share: one object, not one each."""

    __slots__ = ("members", "only")

    def __init__(self, name: str) -> None:
        self.members: set[Subscriber] = set()
        self.only = frozenset((name,))


class Hub:
    """Rooms -> subscribers. Every method is a plain `def` and is called on the event loop."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._changes = 0
        """Grows with every join and leave, so that a publish in slices sees whether its choices still hold."""

    def join(self, subscriber: Subscriber, room: str) -> None:
        """Put `subscriber` into `room`; nothing happens when it is there already."""
        found = self._rooms.get(room)
        if found is None:
            found = self._rooms[room] = _Room(room)
        found.members.add(subscriber)
        self._changes += 1
        subscriber.rooms = subscriber.rooms | found.only if subscriber.rooms else found.only

    def leave(self, subscriber: Subscriber, room: str) -> None:
        """Take `subscriber` out of `room`; nothing happens when it is not there. An empty room is forgotten."""
        if room in subscriber.rooms:
            subscriber.rooms = subscriber.rooms - {room} or NO_ROOMS
            self._discard(subscriber, room)

    def drop(self, subscriber: Subscriber) -> None:
        """Take `subscriber` out of all its rooms; costs only those."""
        rooms, subscriber.rooms = subscriber.rooms, NO_ROOMS
        for room in rooms:
            self._discard(subscriber, room)

    def _discard(self, subscriber: Subscriber, room: str) -> None:
        found = self._rooms[room]
        found.members.discard(subscriber)
        self._changes += 1
        if not found.members:
            del self._rooms[room]

    def members(self, room: str) -> Collection[Subscriber]:
        """Who is in `room` now. A live view: do not keep it, and copy it before anybody may join or leave."""
        found = self._rooms.get(room)
        return () if found is None else found.members

    def emit(self, rooms: Iterable[str], frame: Frame, *, except_rooms: Iterable[str] = ()) -> None:
        """Send `frame` once to everybody in any of `rooms`, those in any of `except_rooms` left out."""
        chosen: set[Subscriber] = set()
        for room in rooms:
            chosen.update(self.members(room))
        for room in except_rooms:
            chosen.difference_update(self.members(room))
        if chosen:
            _deliver(chosen, Bundle((frame,)))

    def publish_in_slices(
        self, organization_room: str, batches: Sequence[Batch], *, elsewhere: frozenset[str] = NO_ROOMS
    ) -> Iterator[int]:
        """Send a flush of one organization: all of it to `organization_room`, to the others what their rooms get.

        Who is in a room of `elsewhere` gets everything by another publish, and so nothing by this one.

        Each step sends to one slice of the subscribers and gives what it cost, in bytes (see `SLICE_COST_BYTES`);
        nothing is sent before the first step. Rooms may change between steps: who joins gets the next publish, who
        leaves gets nothing more for the room it left. Take all steps before the next publish of the same organization.
        Subscribers with equal choices share one bundle, so a choice is joined once however many made it.
        """
        changes_before = self._changes
        everybody = tuple(self.members(organization_room))
        choices = self._choices(elsewhere | {organization_room}, batches)
        if everybody:
            yield from self._send(everybody, organization_room, batches, changes_before)
        for indexes, subscribers in choices.items():
            chosen = [batches[index] for index in indexes]
            yield from self._send(subscribers, organization_room, chosen, changes_before)

    def _send(
        self, subscribers: Sequence[Subscriber], organization_room: str, batches: Sequence[Batch], changes_before: int
    ) -> Iterator[int]:
        """Send `batches` to all of `subscribers`, slice by slice."""
        bundle = Bundle(batch.frame for batch in batches)
        cost_bytes = DELIVERY_COST_BYTES + sum(len(batch.frame.text) for batch in batches)
        slice_length = max(1, SLICE_COST_BYTES // cost_bytes)
        for start in range(0, len(subscribers), slice_length):
            part = subscribers[start : start + slice_length]
            if self._changes == changes_before:
                _deliver(part, bundle)
            else:
                _deliver_still_wanted(part, organization_room, batches, bundle)
            yield len(part) * cost_bytes

    def _choices(self, whole: frozenset[str], batches: Sequence[Batch]) -> dict[tuple[int, ...], list[Subscriber]]:
        """Group those who are in narrower rooms, and in none of `whole`, by which batches they get."""
        chosen: dict[Subscriber, list[int]] = {}
        for index, batch in enumerate(batches):
            for room in batch.rooms:
                for subscriber in self.members(room):
                    if not (whole.isdisjoint(subscriber.rooms) and batch.instead.isdisjoint(subscriber.rooms)):
                        continue
                    indexes = chosen.setdefault(subscriber, [])
                    if not indexes or indexes[-1] != index:
                        indexes.append(index)
        groups: dict[tuple[int, ...], list[Subscriber]] = {}
        for subscriber, indexes in chosen.items():
            groups.setdefault(tuple(indexes), []).append(subscriber)
        return groups


def _deliver_still_wanted(
    subscribers: Sequence[Subscriber], organization_room: str, batches: Sequence[Batch], bundle: Bundle
) -> None:
    """Hand over `bundle`, or the part of it that a subscriber's rooms, as they are now, still ask for."""
    unchanged: list[Subscriber] = []
    for subscriber in subscribers:
        rooms = subscriber.rooms
        if organization_room in rooms:
            unchanged.append(subscriber)
            continue
        frames = [batch.frame for batch in batches if batch.is_for(rooms)]
        if len(frames) == len(batches):
            unchanged.append(subscriber)
        elif frames:
            _deliver((subscriber,), Bundle(frames))
    _deliver(unchanged, bundle)


def _deliver(subscribers: Collection[Subscriber], bundle: Bundle) -> None:
    """Hand `bundle` to each subscriber; one that raises is counted, and the others still get theirs."""
    failures: list[Exception] = []
    # A copy: a delivery may cut a connection, which then leaves the very room walked through here.
    for subscriber in tuple(subscribers):
        try:
            subscriber.deliver(bundle)
        except Exception as exc:
            failures.append(exc)
    if failures:
        DELIVER_ERRORS.inc(len(failures))
        _log.error("deliver_failed", subscribers=len(failures), exc_info=failures[0])
