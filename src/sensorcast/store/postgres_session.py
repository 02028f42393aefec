"""One connection for writes, made anew when it is lost, and transactions whose outcome is always known.

Owns reconnecting and certainty about commits. The invariant: `run` returns only after the commit of its work is on the
server's disk, and raises only when it surely did not happen or could not be found out in time. Where a connection is
cut between COMMIT and its answer, the server is asked what became of that transaction, so nothing is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from sensorcast.errors import SensorcastError
from sensorcast.store.postgres_server import LOST, RACED, connect, is_about_the_work, is_lost, translate

Work = Callable[[Any], Awaitable[Any]]

_RETRY_S: Final = 10.0
"""How long work waits for a server that is away, as at a restart. After that it is refused, and what follows it after
one try, until the server is back."""

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5

_log = structlog.get_logger(__name__)


class _Sent(NamedTuple):
    """A transaction whose COMMIT was sent: who it was, and what it has done if it was committed."""

    transaction_id: str | None
    process_id: int
    result: Any


class PostgresSession:
    """Not for two callers at a time."""

    def __init__(self, url: str, *, random: Random) -> None:
        self.failure: str | None = None
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        self._url = url
        self._random = random
        self._connection: Any = None
        self._failing_since_s: float | None = None

    async def open(self) -> Any:
        """Give the connection. Raises asyncpg errors, `OSError` or `TimeoutError`."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
        return self._connection

    def close(self) -> None:
        """Cut the connection, without a farewell that a dead server would not hear."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def run(self, work: Work, *, prepare: Work | None = None) -> Any:
        """Do `work` in one transaction and commit it, again where that is safe; give its result.

        `prepare` runs before, outside of the transaction. Raises what `work` raises, `Unavailable` or `StorageFull`.
        """
        sent: _Sent | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await self.open()
                if sent is None or not await _was_committed(connection, sent):
                    sent = None
                    if prepare is not None:
                        await prepare(connection)
                    sent = await _perform(connection, work)
                    await connection.execute("COMMIT")
                self.failure = self._failing_since_s = None
                return sent.result
            except Exception as exc:
                sent = sent if is_lost(exc) else None
                await self._clean_up(exc)
                if is_about_the_work(exc):
                    raise
                if not isinstance(exc, (*LOST, *RACED, asyncpg.InterfaceError)) or self._is_over():
                    raise self._failed(exc) from exc
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _clean_up(self, error: Exception) -> None:
        if is_lost(error) or self._connection is None:
            self.close()
            return
        try:
            await self._connection.execute("ROLLBACK")  # outside of a transaction it is a warning and nothing else
        except Exception as exc:
            _log.warning("store_rollback_failed", detail=repr(exc))
            self.close()

    def _is_over(self) -> bool:
        """Whether the server has been away for so long that waiting for it makes no sense."""
        now_s = asyncio.get_running_loop().time()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        return now_s - self._failing_since_s > _RETRY_S

    def _failed(self, error: Exception) -> SensorcastError:
        meaning = translate(error)
        if self.failure != meaning.message:
            _log.error("store_write_failed", reason=meaning.message, detail=repr(error))
        self.failure = meaning.message
        return meaning


async def _perform(connection: Any, work: Work) -> _Sent:
    """Do everything but the COMMIT."""
    await connection.execute("BEGIN")
    result = await work(connection)
    transaction_id = await connection.fetchval("SELECT pg_current_xact_id_if_assigned()::text")
    return _Sent(transaction_id, connection.get_server_pid(), result)


async def _was_committed(connection: Any, sent: _Sent) -> bool:
    """Ask what became of a transaction; one that is still open is ended first."""
    if sent.transaction_id is None:  # it has written nothing, so there was nothing to lose
        return True
    while True:
        try:
            status = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", sent.transaction_id)
        except asyncpg.InvalidParameterValueError:
            # After a crash the server counts on from what reached its log; it has not come to that number again, so
            # nothing of the transaction, and surely not its end, was ever written.
            status = "lost"
        if status != "in progress":
            _log.warning("store_commit_found_out", status=status)
            return bool(status == "committed")
        with suppress(asyncpg.InsufficientPrivilegeError):  # then it ends by its time limit
            await connection.execute("SELECT pg_terminate_backend($1)", sent.process_id)
        await asyncio.sleep(_FIRST_PAUSE_S)
