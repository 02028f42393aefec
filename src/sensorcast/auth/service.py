"""Everything behind the checks of one server, and the tasks that keep it current.

Owns the parts (keys of the provider, API keys, failures, revocations) and their tasks. The invariants: nobody is let in
before all revocations are known; the time of a key's last use is written in batches, at the latest at the stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import structlog

from sensorcast.auth.api_keys import KeyRing
from sensorcast.auth.attempts import Attempts
from sensorcast.auth.authenticator import Authenticator
from sensorcast.auth.key_source import KeySource
from sensorcast.auth.revocations import Revocations, RevocationSource, RevocationWatch
from sensorcast.auth.tokens import TokenVerifier
from sensorcast.errors import ServerTrouble
from sensorcast.model import ApiKey, Identity, Revocation, RevocationKind
from sensorcast.rounds import repeat
from sensorcast.settings import Settings

USES_WRITTEN_S: Final = 60.0
"""Time between two writes of when keys were last used: one small transaction a minute, however many requests."""

OnRevoked = Callable[[Collection[str], Callable[[Identity], bool]], None]
"""Called with the organizations in which something was revoked, and the check of an identity."""

_log = structlog.get_logger(__name__)


class AuthStore(RevocationSource, Protocol):
    """What is needed of a store."""

    async def find_key(self, key_id: str) -> ApiKey | None: ...

    async def note_key_uses(self, last_used_at_us: Mapping[str, int]) -> None: ...


class AuthService:
    """Build it, `start` it when the store is open, `stop` it before the store closes.

    `now_s` gives seconds since 1970, `clock_s` monotonic ones.
    """

    def __init__(
        self,
        settings: Settings,
        secret: bytes,
        store: AuthStore,
        *,
        now_s: Callable[[], float],
        clock_s: Callable[[], float],
        on_revoked: OnRevoked = lambda organization_ids, is_revoked: None,
    ) -> None:
        source = None
        if settings.jwt_jwks:
            source = KeySource(settings.jwt_jwks, clock_s=clock_s)
        attempts = Attempts(settings, clock_s)
        self.revocations = Revocations()
        self.keys = KeyRing(store.find_key, settings.key_cache_s, clock_s, attempts=attempts, now_s=now_s)
        self.authenticator = Authenticator(
            TokenVerifier(settings, secret, *([] if source is None else [source.find])),
            self.keys,
            attempts=attempts,
            revocations=self.revocations,
            source=source,
        )
        self._store = store
        self._source = source
        self._on_revoked = on_revoked
        self._watch = RevocationWatch(store, self.revocations, on_change=self._changed)
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Learn what is revoked and which keys the provider has, then keep both current."""
        await self._watch.look()
        work = [
            repeat("revocations", self._watch.look, pause_s=self._settings.revocation_poll_s),
            repeat("key_uses", self._write_uses, pause_s=USES_WRITTEN_S),
        ]
        if self._source is not None:
            await self._source.refetch()
            # A key that was withdrawn must not hold for long.
            work.append(repeat("keys_of_provider", self._source.refetch, pause_s=self._settings.jwt_jwks_refresh_s))
        self._tasks = [asyncio.create_task(each) for each in work]

    async def stop(self) -> None:
        """End the tasks and write what is not written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._write_uses()

    async def look(self) -> None:
        """Take note now of what was revoked through this server, without waiting for the next look."""
        await self._watch.look()

    def _changed(self, new: Sequence[Revocation]) -> None:
        self.keys.forget(each.subject for each in new if each.kind is RevocationKind.KEY)
        for each in new:
            if each.kind is RevocationKind.ORGANIZATION:
                self.keys.forget_organization(each.organization_id)
        self._on_revoked({each.organization_id for each in new}, self.revocations.is_revoked)

    async def _write_uses(self) -> None:
        uses = self.keys.take_uses()
        if not uses:
            return
        try:
            await self._store.note_key_uses(uses)
        except ServerTrouble as exc:  # only the times of use are lost; the keys hold all the same
            _log.warning("key_uses_not_written", keys=len(uses), reason=exc.message)
