"""One connection for writes, made anew when it is lost, and transactions whose outcome is always known.

Owns reconnecting and certainty about commits. The invariant: `run` returns only after the commit of its work is on the
server's disk, and raises only when it surely did not happen or could not be found out in time. Where a connection is
cut between COMMIT and its answer, the mark that each transaction leaves says what became of it: nothing is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple
from uuid import uuid4

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


_BEGIN: Final = (
    "BEGIN; INSERT INTO commit_marks (session_id, mark) VALUES ('{session_id}', {mark}) ON CONFLICT (session_id) "
    "DO UPDATE SET mark = excluded.mark, written_at = excluded.written_at"
)
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2"
_READ_MARK: Final = (
    "INSERT INTO commit_marks (session_id, mark) VALUES ($1, 0) ON CONFLICT (session_id) "
    "DO UPDATE SET mark = commit_marks.mark RETURNING mark"
)
"""A write, for it waits until a transaction under way that has written the same row has ended, the first one too."""

_FORGET_MARKS: Final = "DELETE FROM commit_marks WHERE written_at < now() - interval '1 day'"
"""A session asks within seconds of a commit, and one that goes on writes its mark anew."""


class _Sent(NamedTuple):
    """A transaction whose COMMIT was sent: its mark, who was to commit it, and what it has done if it was committed."""

    mark: int
    process_id: int
    result: Any


class Outage:
    """What is wrong with the server, as far as the sessions of one store know; they share it."""

    def __init__(self) -> None:
        self.failure: str | None = None
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        self.since_s: float | None = None
        """Since when it has not answered."""


class PostgresSession:
    """Not for two callers at a time."""

    def __init__(self, url: str, outage: Outage, *, random: Random) -> None:
        self._url = url
        self._outage = outage
        self._random = random
        self._session_id = uuid4()
        self._name = f"sensorcast {self._session_id}"
        self._mark = 0
        self._connection: Any = None

    async def open(self) -> Any:
        """Give the connection. Raises asyncpg errors, `OSError` or `TimeoutError`."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, name=self._name)
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
            began_s = asyncio.get_running_loop().time()
            in_doubt = sent is not None
            try:
                connection = await self.open()
                if sent is None or not await self._was_committed(connection, sent):
                    sent, in_doubt = None, False
                    if prepare is not None:
                        await prepare(connection)
                    sent = await self._perform(connection, work)
                    await _commit(connection)
                self._outage.failure = self._outage.since_s = None
                return sent.result
            except Exception as exc:
                # While it was found out what became of a transaction, an error says nothing about that.
                sent = sent if in_doubt or is_lost(exc) else None
                await self._clean_up(exc)
                if is_about_the_work(exc) and not in_doubt:
                    raise
                if not isinstance(exc, (*LOST, *RACED, asyncpg.InterfaceError)) or self._is_over(began_s):
                    raise self._failed(exc) from exc
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _perform(self, connection: Any, work: Work) -> _Sent:
        """Do everything but the COMMIT."""
        self._mark += 1
        await connection.execute(_BEGIN.format(session_id=self._session_id, mark=self._mark))
        return _Sent(self._mark, connection.get_server_pid(), await work(connection))

    async def _was_committed(self, connection: Any, sent: _Sent) -> bool:
        """Find out what became of a transaction; one that is still open is ended first."""
        with suppress(asyncpg.InsufficientPrivilegeError):  # then it ends by its time limit
            await connection.execute(_END, sent.process_id, self._name)
        committed: bool = await connection.fetchval(_READ_MARK, self._session_id) == sent.mark
        _log.warning("store_commit_found_out", committed=committed)
        return committed

    async def _clean_up(self, error: Exception) -> None:
        if is_lost(error) or self._connection is None:
            self.close()
            return
        try:
            await self._connection.execute("ROLLBACK")  # outside of a transaction it is a warning and nothing else
        except Exception as exc:
            _log.warning("store_rollback_failed", detail=repr(exc))
            self.close()

    def _is_over(self, began_s: float) -> bool:
        """Whether the server has been away for so long that waiting for it makes no sense; an attempt has failed."""
        now_s = asyncio.get_running_loop().time()
        if self._outage.since_s is None:
            self._outage.since_s = began_s  # it may have waited for an answer for long
        return now_s - self._outage.since_s > _RETRY_S

    def _failed(self, error: Exception) -> SensorcastError:
        meaning = translate(error)
        if self._outage.failure != meaning.message:
            _log.error("store_write_failed", reason=meaning.message, detail=repr(error))
        self._outage.failure = meaning.message
        return meaning


async def _commit(connection: Any) -> None:
    # Of a transaction in which a statement failed, COMMIT makes a ROLLBACK without a word.
    if await connection.execute("COMMIT") != "COMMIT":
        raise RuntimeError("work went on after an error, so none of it was committed")


async def forget_old_marks(connection: Any) -> None:
    """Delete what sessions of the past have left, which nobody asks for any more."""
    await connection.execute(_FORGET_MARKS)
