"""What holds no longer, kept in memory so that a check costs a look-up, and followed in the store.

Owns the picture of all revocations and what keeps it current. The invariant: whatever process or node revoked
something, `RevocationWatch` tells everybody here with the next look after its commit; and a restart begins with all of
them, so nothing revoked ever comes back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sensorcast.errors import Unauthenticated
from sensorcast.model import Identity, Revocation, RevocationKind

OVERLAP: Final = 64
"""Numbers looked at again: one is given before its commit, so a lower one may appear after a higher one."""


class Revocations:
    """All revocations of all organizations; their number is bounded where they are made, by the store."""

    def __init__(self) -> None:
        self._named: defaultdict[str, set[tuple[RevocationKind, str]]] = defaultdict(set)
        self._before_s: defaultdict[str, dict[str | None, float]] = defaultdict(dict)
        """By organization and user (None: everybody): what was issued up to then holds no longer."""

    def add(self, revocation: Revocation) -> None:
        """Take note of a revocation; again is harmless."""
        organization_id, subject = revocation.organization_id, revocation.subject
        match revocation.kind:
            case RevocationKind.USER | RevocationKind.ORGANIZATION:
                user = subject if revocation.kind is RevocationKind.USER else None
                moments_s = self._before_s[organization_id]
                moments_s[user] = max(moments_s.get(user, 0.0), revocation.revoked_at_us / 1_000_000)
            case RevocationKind.TOKEN | RevocationKind.KEY:
                self._named[organization_id].add((revocation.kind, subject))

    def is_revoked(self, identity: Identity) -> bool:
        """Tell whether the credential behind `identity` was revoked; one that does not say its age is old."""
        named = self._named.get(identity.organization_id, ())
        if (RevocationKind.TOKEN, identity.token_id) in named or (RevocationKind.KEY, identity.key_id) in named:
            return True
        moments_s = self._before_s.get(identity.organization_id)
        if moments_s is None:
            return False
        issued_at_s = identity.issued_at_s or 0.0
        return any(issued_at_s <= moments_s.get(user, -1.0) for user in (None, identity.subject))

    def check(self, identity: Identity) -> None:
        """Raise `Unauthenticated` when the credential behind `identity` was revoked."""
        if self.is_revoked(identity):
            raise Unauthenticated("the credential was revoked", hint="Sign in again.")


class RevocationSource(Protocol):
    """Where revocations are stored."""

    async def revocations_since(self, number: int) -> Sequence[Revocation]:
        """Every revocation with a higher number, by number."""
        ...


class RevocationWatch:
    """Follows a source. `on_change` is called with what is new, after it took effect in `revocations`."""

    def __init__(
        self, source: RevocationSource, revocations: Revocations, *, on_change: Callable[[Sequence[Revocation]], None]
    ) -> None:
        self._source = source
        self._revocations = revocations
        self._on_change = on_change
        self._newest = 0
        self._seen: set[int] = set()

    async def look(self) -> None:
        """Look once. Raises what the source raises; what is known goes on to count."""
        found = await self._source.revocations_since(max(0, self._newest - OVERLAP))
        new = [revocation for revocation in found if revocation.number not in self._seen]
        if not new:
            return
        for revocation in new:
            self._revocations.add(revocation)
        self._newest = found[-1].number
        self._seen = {revocation.number for revocation in found if revocation.number > self._newest - OVERLAP}
        self._on_change(new)
