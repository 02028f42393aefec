"""Runs an application in this process until it is told to stop: the listening socket, uvicorn, signals.

Owns the process side of a server; `app` owns what is served. The invariants: exit code 0 after SIGTERM or Ctrl-C, an
address that cannot be listened on is one clear line, and the stop is said on `/readyz` before the first connection is
refused, and goes through `Application.drain` before uvicorn ends what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from types import FrameType
from typing import ClassVar, Final, cast

import structlog
import uvicorn
import uvloop

from sensorcast import logs
from sensorcast.app import INGEST_PATH, Application
from sensorcast.cluster.worker import ALONE, Worker
from sensorcast.errors import ConfigurationError
from sensorcast.metrics import WORKER_STARTS
from sensorcast.settings import Settings
from sensorcast.transport.doorkeeper import Doorkeeper, doorkeeper_class
from sensorcast.transport.handover import Handover
from sensorcast.transport.http_guard import guarded_http_class
from sensorcast.transport.limits import trusted_proxies
from sensorcast.transport.short_way import ShortWay

BACKLOG: Final = 4_096
"""Connections the kernel holds for us: a herd of dashboards coming back at once must not be refused by TCP."""
ACCEPTS_PER_TURN: Final = 8
"""Connections accepted in one turn of the event loop. libuv accepts one a turn for each listening descriptor, so the
socket is listened on by this many: a herd gets in a quarter faster, and is not held up by the work of the turns."""
AFTER_DRAIN_S: Final = 3
"""What uvicorn waits once `Application.drain` has taken its whole time: enough for closing sockets to take their last
bytes, not enough for a request that never ends to double the time a stop may take."""
GC_THRESHOLDS: Final = (20_000, 50, 100)
"""Allocations between collections. Connections live long and are no garbage; with Python's own thresholds (700, 10, 10)
looking through them again and again was a tenth of the cost of each new one."""
KEEP_ALIVE_S: Final = 30
"""Idle time after which a gateway's HTTP connection is closed: it sends more often, or can reconnect."""

DATE_S: Final = 1.0
"""How often the `Date` of answers is renewed."""
FORCE_CHECK_S: Final = 0.1
"""How often a stop under way looks whether a second signal came: a signal handler can do no more than set a flag."""

READY: Final = b"r"
"""What a worker tells its supervisor once it listens."""
STOP: Final = b"s"
"""What the supervisor tells its workers; so does the end of the link, when the supervisor is gone."""
FORCE: Final = b"f"
"""Do not wait for what is under way any longer."""

OnReady = Callable[[str], Awaitable[None] | None]
"""Called with the base URL as soon as the server listens."""
Background = Callable[[str], Awaitable[None]]
"""Work beside the server; gets the base URL, is cancelled when the server stops, and stops the server if it fails."""

_log = structlog.get_logger(__name__)


def serve(settings: Settings, *, on_ready: OnReady | None = None, background: Background | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises `ConfigurationError` if it cannot start."""
    logs.set_up(settings.log_level)
    return uvloop.run(_run(settings, on_ready, background))


def serve_worker(settings: Settings, worker: Worker, link: socket.socket) -> int:
    """Serve as one of several workers on a port until the supervisor at the other end of `link` says so or is gone."""
    logs.set_up(settings.log_level, worker=worker.index)
    return uvloop.run(_run(settings, lambda _url: link.sendall(READY), worker=worker, link=link))


async def _run(
    settings: Settings,
    on_ready: OnReady | None = None,
    background: Background | None = None,
    *,
    worker: Worker = ALONE,
    link: socket.socket | None = None,
) -> int:
    gc.set_threshold(*GC_THRESHOLDS)
    with listen(settings.host, settings.port, shared=worker.count > 1) as listener:
        application = Application(settings, worker=worker)
        try:
            await application.start()
            server = _Server(application, settings) if link is None else _WorkerServer(application, settings, link)
            async with asyncio.TaskGroup() as tasks:
                beside = tasks.create_task(_beside(server, base_url(listener), on_ready, background))
                await server.serve(sockets=[listener, *(listener.dup() for _ in range(1, ACCEPTS_PER_TURN))])
                beside.cancel()
        finally:
            await application.stop()
    if server.failure is not None:
        raise server.failure
    _log.info("stopped")
    return 0


async def _beside(server: _Server, url: str, on_ready: OnReady | None, background: Background | None) -> None:
    """Announce the server once it listens, then do the work beside it; a failure stops the server in good order."""
    try:
        await server.listening.wait()
        _log.info(server.announcement, url=url)
        waiting = None if on_ready is None else on_ready(url)
        if waiting is not None:
            await waiting
        if background is not None:
            await background(url)
    except Exception as exc:
        server.failure = exc
        server.stop()


def listen(host: str, port: int, *, shared: bool = False, backlog: int | None = BACKLOG) -> socket.socket:
    """Open the listening socket, `shared` with other processes of this user; without a backlog it is only reserved.

    Raises `ConfigurationError` when the address is taken or not ours.
    """
    try:
        family, kind, _proto, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            if backlog is not None:
                listener.listen(backlog)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as exc:  # a name that cannot be one fails in its encoding
        reason = getattr(exc, "strerror", None) or "not a host name"
        raise ConfigurationError(f"cannot listen on {host} port {port} (--host, --port): {reason}") from exc
    return listener


def base_url(listener: socket.socket) -> str:
    """The URL at which a program on this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # every interface, so also the loopback one
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn with our order of stopping, and an exit code of 0 after a signal."""

    announcement: ClassVar[str] = "listening"

    def __init__(self, application: Application, settings: Settings, handover: Handover | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=doorkeeper_class(
                    settings,
                    application.sockets.websocket_class,
                    handover,
                    ShortWay(INGEST_PATH, application.take_readings),
                ),
                ws=application.sockets.websocket_class,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=list(trusted_proxies(settings)),
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=AFTER_DRAIN_S,
            )
        )
        self.listening = asyncio.Event()
        self.failure: Exception | None = None
        """What went wrong in the work beside the server; raised once the server has stopped."""
        self._application = application
        self._drain_s = settings.drain_s
        self._loop = asyncio.get_running_loop()
        self._asked_to_stop = asyncio.Event()
        self._asked_again = asyncio.Event()

    def stop(self) -> None:
        """Begin the stop in good order; when it is forced, wait for nothing."""
        self.should_exit = True
        self._asked_to_stop.set()
        if self.force_exit:
            self._asked_again.set()

    async def main_loop(self) -> None:
        # uvicorn's own wakes up ten times a second to look at the clock and at `should_exit`, most of the work
        # of a server with little to do.
        wheel = self._application.sockets.endpoint.wheel
        wheel.add(self, self.due(wheel.now_s))
        await self._asked_to_stop.wait()
        self._application.announce_stop()
        await self._serve_until_balancers_know()

    async def _serve_until_balancers_know(self) -> None:
        """Go on as before while `/readyz` says that we stop: whoever looks there sends nothing more by the end."""
        if self._drain_s:
            _log.info("draining", seconds=self._drain_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._drain_s):
                    await self._asked_again.wait()

    def due(self, now_s: float) -> float:
        """Called by the wheel: renew the `Date` that answers carry."""
        date = formatdate(usegmt=True).encode()
        self.server_state.default_headers = [(b"date", date), *self.config.encoded_headers]
        return now_s + DATE_S

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Unlike uvicorn's own, this does not keep the signal to raise it again at the end: a stop that was asked for
        # is a success. A second signal ends at once what is still under way.
        self.force_exit = self.should_exit
        self.should_exit = True
        self._loop.call_soon_threadsafe(self.stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._drain()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        draining = asyncio.ensure_future(self._application.drain())
        while not self.force_exit and not draining.done():
            await asyncio.wait({draining}, timeout=FORCE_CHECK_S)
        if draining.done():
            await draining
        else:
            draining.cancel()


class _WorkerServer(_Server):
    """The server of a worker: its supervisor says when to stop, and signals to it alone mean the same at most once.

    A service manager signals all processes of a service, a terminal its whole group, and the supervisor tells the
    worker as well: taken for several requests to stop, they would end at once what is under way.
    """

    announcement: ClassVar[str] = "worker_listening"

    def __init__(self, application: Application, settings: Settings, link: socket.socket) -> None:
        self._handover = Handover(application.worker, application.sockets.endpoint.path)
        super().__init__(application, settings, self._handover)
        self._settings = settings
        self._link = link
        self._is_orphan = False
        link.setblocking(False)
        self._loop.add_reader(link, self._read_link)
        WORKER_STARTS.set(application.worker.starts)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._listen_to_neighbours()
        await super().startup(sockets)

    async def _listen_to_neighbours(self) -> None:
        """Answer the other workers before the first client comes, because it may be theirs."""
        config = uvicorn.Config(
            self._application.private,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        http_class = guarded_http_class(self._settings)
        path = self._application.worker.http_path(self._application.worker.index)
        await asyncio.to_thread(path.unlink, missing_ok=True)
        self._private = await self._loop.create_unix_server(
            lambda: http_class(config=config, server_state=self.server_state, app_state={}, _loop=self._loop), path
        )
        self._handover.start(self._adopt)

    async def _adopt(self, connection: socket.socket, first: bytes) -> None:
        keeper_class = cast(type[Doorkeeper], self.config.http_protocol_class)
        keeper = keeper_class(self.config, self.server_state, self.lifespan.state, self._loop).adopting(first)
        await self._loop.connect_accepted_socket(lambda: keeper, connection)

    def _read_link(self) -> None:
        try:
            word = self._link.recv(16)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if not word:
            self._is_orphan = True
            self._loop.remove_reader(self._link)
        self.force_exit = self.force_exit or FORCE in word
        self.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGINT:
            self.should_exit = True
            self._loop.call_soon_threadsafe(self.stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._private.close()
        await self._handover.stop()
        try:
            await super().shutdown(sockets)
        finally:
            self._loop.remove_reader(self._link)
            self._clean_up(self._application.worker)

    def _clean_up(self, worker: Worker) -> None:
        """Take our socket away, and the folder after the last one when there is no supervisor to do it."""
        worker.http_path(worker.index).unlink(missing_ok=True)
        if self._is_orphan:
            with contextlib.suppress(OSError):  # others are still there, or were there last
                worker.folder.rmdir()
