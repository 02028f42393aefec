"""A test marked `real_time` that fails is run again when the machine stood still meanwhile, and only then."""

from __future__ import annotations

from tests.tools.test_no_skips import run

RUNS = "import pytest, threading, time\nRUNS = []\n"
STALLED = """
@pytest.mark.real_time
def test_a(stopped):
    RUNS.append(1)
    if len(RUNS) <= {failing}:
        stopped()
        raise AssertionError("late")
"""
# Stops the whole process, as a machine that stands still does.
STOPPED = """
import os, signal, subprocess
@pytest.fixture
def stopped():
    def stop():
        subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), signal.SIGSTOP)
    return stop
"""
# A machine that stands still for this long stops nobody; so the same stall counts as none.
STEADY = "from tests.support import stalls\nstalls.STALL_S = 3_600.0\n"


def test_a_failure_while_the_machine_stood_still_is_none(tmp_path):
    (tmp_path / "test_a.py").write_text(RUNS + STOPPED + STALLED.format(failing=2))
    done = run(tmp_path, "true")
    assert "1 passed" in done.stdout
    assert done.stdout.count("run again: test_a.py::test_a: the machine stood still for ") == 2


def test_a_failure_that_comes_again_and_again_is_one(tmp_path):
    (tmp_path / "test_a.py").write_text(RUNS + STOPPED + STALLED.format(failing=9))
    done = run(tmp_path, "true")
    assert "1 failed" in done.stdout
    assert done.stdout.count("run again: ") == 3


def test_a_failure_on_a_machine_that_kept_running_is_one_at_once(tmp_path):
    (tmp_path / "test_a.py").write_text(RUNS + STEADY + STOPPED + STALLED.format(failing=1))
    done = run(tmp_path, "true")
    assert "1 failed" in done.stdout
    assert "run again" not in done.stdout
