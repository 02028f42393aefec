"""The supervisor of several worker processes on one port: starts them, restarts what dies, stops them all.

Owns their lives and nothing they do; `serving` is what each of them runs. It is a plain process without threads or an
event loop, so that it can fork a worker at any time, with the program as it was at the start. The invariants: workers
are told to stop once, by their link, whoever else signals them; a supervisor that is gone, however it went, closes the
links, and that stops them too; what makes a start impossible is said once.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from sensorcast import logs, serving
from sensorcast.auth import load_or_create_secret
from sensorcast.cluster.worker import Worker, check_folder
from sensorcast.errors import ConfigurationError, SensorcastError, Unavailable
from sensorcast.serving import FORCE, READY, STOP
from sensorcast.settings import Settings

QUICK_DEATH_S: Final = 10.0
"""A worker that lived shorter than this has not done any good; one that lived longer may be restarted for ever."""
QUICK_DEATHS_MAX: Final = 5
"""Quick deaths in a row after which the supervisor gives up, if no other worker is well: a fresh start may help."""
BACKOFF_S: Final = 0.2
"""Pause before the first restart; it doubles with each quick death."""
_LONGEST_PAUSE_S: Final = 30.0
"""So that a worker is back soon after a database that was away for long."""
AFTER_STOP_S: Final = serving.AFTER_DRAIN_S + 5
"""What a worker gets beyond `drain_s` and `shutdown_timeout_s` to close its store, before it is killed."""
_TROUBLE: Final = b"!"
_TROUBLE_MAX_BYTES: Final = 8_192
_MISCONFIGURED: Final = 2
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_log = structlog.get_logger(__name__)


def supervise(settings: Settings) -> int:
    """Run `settings.workers` workers until SIGTERM or SIGINT; give the exit code.

    Raises `ConfigurationError` or `Unavailable` if they cannot start, or all die again and again.
    """
    logs.set_up(settings.log_level)
    folder = Path(tempfile.mkdtemp(prefix="sensorcast-"))  # readable by its owner only
    try:
        check_folder(folder)
        with serving.listen(settings.host, settings.port) as probe:
            address = probe.getsockname()
        # Nobody else listens there; from here on the address is shared, but only with processes of the same user.
        with serving.listen(address[0], address[1], shared=True, backlog=None) as reservation:
            settings = dataclasses.replace(settings, port=address[1])
            load_or_create_secret(settings)
            return Supervisor(settings, folder, serving.base_url(reservation)).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Place:
    """A worker's number, and the process that has it now."""

    index: int
    pid: int = 0
    link: socket.socket | None = None
    starts: int = 0
    started_at_s: float = 0.0
    is_ready: bool = False
    quick_deaths: int = 0
    due_at_s: float | None = None
    """When to start it (again); None while it runs, or must not run."""
    trouble: str = ""


class Supervisor:
    """Keeps the workers of one port. `run` it once."""

    def __init__(self, settings: Settings, folder: Path, url: str) -> None:
        self._settings = settings
        self._folder = folder
        self._url = url
        self._places = [Place(index) for index in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._asked_to_stop = 0
        self._heeded = 0
        self._announced = False
        self._was_ready = False
        """Whether any worker ever was: then the settings are good, and what ends another one may pass."""
        self._kill_at_s: float | None = None
        self._failure: SensorcastError | None = None
        self._code = 0

    def run(self) -> int:
        """Start the workers, keep them, and come back when all have ended. Raises like `supervise`."""
        wake_up, alarm = socket.socketpair()
        wake_up.setblocking(False)
        alarm.setblocking(False)
        with wake_up, alarm, self._selector:
            self._selector.register(wake_up, selectors.EVENT_READ)
            before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
            signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
            gc.collect()
            gc.freeze()  # so that collections in the workers do not copy what they share
            try:
                self._keep()
            finally:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)
        if self._failure is not None:
            raise self._failure
        _log.info("stopped", workers=len(self._places))
        return self._code

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked_to_stop += 1

    def _keep(self) -> None:
        # The first worker alone: it makes the database, and finds what is wrong with the settings, for all of them.
        self._places[0].due_at_s = 0.0
        while True:
            self._heed_signals()
            self._start_due()
            if not any(place.pid or place.due_at_s is not None for place in self._places):
                return
            for key, _ in self._selector.select(self._patience_s()):
                if key.data is None:
                    _read_all(key.fileobj)  # type: ignore[arg-type]  # the wake-up socket
                else:
                    self._listen_to(key.data)
            self._reap()
            self._kill_late()

    def _patience_s(self) -> float | None:
        times = [place.due_at_s for place in self._places if place.due_at_s is not None]
        times += [] if self._kill_at_s is None else [self._kill_at_s]
        return max(0.0, min(times) - time.monotonic()) if times else None

    # Starting

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for place in self._places:
            if place.due_at_s is not None and place.due_at_s <= now_s:
                self._start(place, now_s)

    def _start(self, place: Place, now_s: float) -> None:
        ours, theirs = socket.socketpair()
        place.due_at_s, place.started_at_s, place.is_ready, place.trouble = None, now_s, False, ""
        place.starts += 1
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        place.pid = os.fork()
        if place.pid == 0:
            ours.close()
            self._become(place, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        ours.setblocking(False)
        place.link = ours
        self._selector.register(ours, selectors.EVENT_READ, place)

    def _become(self, place: Place, link: socket.socket) -> None:
        """Be a worker from here on, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor passes it on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._selector.close()
            for other in self._places:
                if other.link is not None:  # or the death of the supervisor would not close it
                    other.link.close()
            worker = Worker(index=place.index, count=len(self._places), folder=self._folder, starts=place.starts)
            code = _work(self._settings, worker, link)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _listen_to(self, place: Place) -> None:
        said = b"" if place.link is None else _read_all(place.link)
        words, _, trouble = said.partition(_TROUBLE)
        place.trouble = trouble.decode(errors="replace") or place.trouble
        if READY in words:
            place.is_ready = self._was_ready = True
            self._go_on()
        if not said:
            self._close_link(place)

    def _go_on(self) -> None:
        """A worker is ready: start the others after the first, announce the port after the last."""
        if self._announced or self._heeded:
            return
        for place in self._places:
            if not place.starts:
                place.due_at_s = 0.0
        if all(place.is_ready for place in self._places):
            self._announced = True
            _log.info("listening", url=self._url, workers=len(self._places))

    # Ending

    def _reap(self) -> None:
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: Place, code: int) -> None:
        if place.link is not None:
            self._listen_to(place)
        self._close_link(place)
        place.pid, place.is_ready = 0, False
        if self._heeded:
            self._code = self._code or int(code != 0)
            return
        lived_s = time.monotonic() - place.started_at_s
        place.quick_deaths = place.quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
        if place.trouble and not self._was_ready:
            self._give_up(ConfigurationError(place.trouble) if code == _MISCONFIGURED else Unavailable(place.trouble))
        elif place.quick_deaths >= QUICK_DEATHS_MAX and not any(each.is_ready for each in self._places):
            times = f"{place.quick_deaths} times in a row within {QUICK_DEATH_S:g} s of its start"
            self._give_up(Unavailable(f"worker {place.index} died {times}; its last lines in the log say why"))
        else:
            pause_s = min(BACKOFF_S * 2**place.quick_deaths, _LONGEST_PAUSE_S) if place.quick_deaths else 0.0
            place.due_at_s = time.monotonic() + pause_s
            _log.warning("worker_ended", worker=place.index, code=code, reason=place.trouble, restart_in_s=pause_s)

    def _give_up(self, why: SensorcastError) -> None:
        self._failure = why
        self._asked_to_stop += 1
        self._heed_signals()

    def _heed_signals(self) -> None:
        if self._asked_to_stop == self._heeded:
            return
        word = FORCE if self._heeded else STOP
        self._heeded = self._asked_to_stop
        for place in self._places:
            place.due_at_s = None
            self._tell(place, word)
        if self._kill_at_s is None:
            settings = self._settings
            self._kill_at_s = time.monotonic() + settings.drain_s + settings.shutdown_timeout_s + AFTER_STOP_S

    def _tell(self, place: Place, word: bytes) -> None:
        if place.link is None:
            return
        try:
            place.link.send(word)
        except OSError:  # it is ending by itself
            self._close_link(place)

    def _kill_late(self) -> None:
        if self._kill_at_s is None or time.monotonic() < self._kill_at_s:
            return
        self._kill_at_s = time.monotonic() + AFTER_STOP_S
        for place in self._places:
            if place.pid:
                _log.error("worker_killed", worker=place.index, setting="shutdown_timeout_s")
                os.kill(place.pid, signal.SIGKILL)

    def _close_link(self, place: Place) -> None:
        if place.link is not None:
            self._selector.unregister(place.link)
            place.link.close()
            place.link = None


def _work(settings: Settings, worker: Worker, link: socket.socket) -> int:
    """Serve as a worker; trouble is reported to the supervisor instead of raised."""
    try:
        return serving.serve_worker(settings, worker, link)
    except SensorcastError as exc:
        text = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        link.send(_TROUBLE + text.encode()[: _TROUBLE_MAX_BYTES - 1])
        return _MISCONFIGURED if isinstance(exc, ConfigurationError) else 1
    except Exception:
        _log.exception("worker_failed")
        return 1


def _read_all(source: socket.socket) -> bytes:
    try:
        return source.recv(_TROUBLE_MAX_BYTES)
    except BlockingIOError:
        return b" "
    except OSError:
        return b""
