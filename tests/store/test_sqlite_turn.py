"""Turns at the database: whoever has written lines up again, and nobody waits for one that hangs for ever."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

from sensorcast.store.sqlite_turn import WriteTurns
from tests.support.waiting import wait_until

PATIENCE_S = 30.0


def test_two_that_write_all_the_time_take_turns(tmp_path: Path) -> None:
    order: list[str] = []
    stop = threading.Event()

    def write_all_the_time(name: str) -> None:
        turns = WriteTurns(tmp_path / "a.db", PATIENCE_S)
        while not stop.is_set():
            with turns.turn():
                order.append(name)
                time.sleep(0.01)
        turns.close()

    writers = [threading.Thread(target=write_all_the_time, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(order) >= 100, within_s=60, what="a hundred turns")
    stop.set()
    for writer in writers:
        writer.join()
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes > len(order) * 0.6


def test_only_one_has_the_turn(tmp_path: Path) -> None:
    first, second = WriteTurns(tmp_path / "a.db", PATIENCE_S), WriteTurns(tmp_path / "a.db", PATIENCE_S)
    order: list[str] = []
    entered = threading.Event()

    def enter() -> None:
        with second.turn():
            order.append("second")
            entered.set()

    thread = threading.Thread(target=enter)
    with first.turn():
        thread.start()
        assert not entered.wait(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    first.close()
    second.close()


def test_whoever_hangs_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    hanging, patient = WriteTurns(tmp_path / "a.db", PATIENCE_S), WriteTurns(tmp_path / "a.db", 0.05)
    with hanging.turn():
        for _ in range(2):  # neither for its turn, nor for its place as the next
            started_s = time.monotonic()
            with patient.turn():
                assert time.monotonic() - started_s >= 0.05
    hanging.close()
    patient.close()


def test_whoever_dies_gives_up_its_turn(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from sensorcast.store.sqlite_turn import WriteTurns;"
        f"WriteTurns(pathlib.Path({str(tmp_path / 'a.db')!r}), 9).turn().__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    lively = WriteTurns(tmp_path / "a.db", PATIENCE_S)
    started_s = time.monotonic()
    with lively.turn():
        assert time.monotonic() - started_s < PATIENCE_S / 2
    lively.close()


def test_the_files_are_private(tmp_path: Path) -> None:
    WriteTurns(tmp_path / "a.db", PATIENCE_S).close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
