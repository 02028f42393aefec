"""The organizations that somebody on this node follows, and how far each can be trusted to be whole.

Owns their states; what to do about them is the relay's. The invariant: an organization is whole when it is listened to
and its latest readings were read from the store since then, and from the moment on when that cannot be said any more
it is degraded, until it is whole again.

Limit: one for each organization with a connection on this node, and those whose last one closed within `LINGER_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

LINGER_S: Final = 30.0
"""Time for which an organization is still followed after its last connection: pages are reloaded all the time."""


FOLLOWED_S: Final = 2.0
"""Longest wait for an organization to be whole; what is known by then is better than no answer."""


class Followed:
    """One organization that is followed."""

    __slots__ = (
        "channel",
        "degraded_since_us",
        "is_listening",
        "leaves_at_s",
        "organization_id",
        "since_us",
        "stale_until_s",
        "whole",
    )

    def __init__(self, organization_id: str, channel: str, since_us: int) -> None:
        self.organization_id = organization_id
        self.channel = channel
        self.since_us = since_us
        """When following began, in microseconds since 1970."""
        self.is_listening = False
        self.whole = asyncio.Event()
        """Set once what is known is as good as the store, for the first time."""
        self.degraded_since_us: int | None = None
        """From when on something may be missing."""
        self.stale_until_s = 0.0
        """Until when messages that are too old are no news: the store was looked into when the first of them came."""
        self.leaves_at_s: float | None = None
        """When it is followed no more; None while it has connections."""

    async def wait_until_whole(self) -> None:
        """Wait until it is whole, for at most `FOLLOWED_S`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FOLLOWED_S):
                await self.whole.wait()


class Following:
    """All that are followed."""

    def __init__(self) -> None:
        self._by_organization: dict[str, Followed] = {}
        self._by_channel: dict[str, Followed] = {}
        self._leaving: dict[str, None] = {}

    def __iter__(self) -> Iterator[Followed]:
        return iter(list(self._by_organization.values()))

    def get(self, organization_id: str) -> Followed | None:
        """The state of an organization; None when it is not followed."""
        return self._by_organization.get(organization_id)

    def on(self, channel: str) -> Followed | None:
        """Whose channel this is."""
        return self._by_channel.get(channel)

    def stay(self, organization_id: str) -> bool:
        """Keep an organization that is followed already; False when it is not."""
        followed = self._by_organization.get(organization_id)
        if followed is None:
            return False
        followed.leaves_at_s = None
        self._leaving.pop(organization_id, None)
        return True

    def add(self, followed: Followed) -> None:
        """Follow another organization."""
        self._by_organization[followed.organization_id] = self._by_channel[followed.channel] = followed

    def leave(self, organization_id: str, now_s: float) -> None:
        """Let an organization leave after `LINGER_S`; harmless when it is not followed."""
        followed = self._by_organization.get(organization_id)
        if followed is not None:
            followed.leaves_at_s = now_s + LINGER_S
            self._leaving[organization_id] = None

    def expire(self, now_s: float) -> list[Followed]:
        """Take out those whose time has come, and give them."""
        gone = []
        for organization_id in list(self._leaving):  # in the order of their times
            followed = self._by_organization[organization_id]
            if followed.leaves_at_s is None or followed.leaves_at_s > now_s:
                break
            del self._leaving[organization_id]
            del self._by_organization[organization_id], self._by_channel[followed.channel]
            gone.append(followed)
        return gone
