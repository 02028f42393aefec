"""Logs: one JSON object a line, whatever text from outside is in it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HOSTILE = 'a"\n{"event": "forged"}\r\x1b[31m\u2028\x00'
PROGRAM = f"""
import logging
import structlog
from sensorcast import logs
logs.set_up("{{level}}")
log = structlog.get_logger("test")
hostile = {HOSTILE!r}
log.info("first", text=hostile)
logging.getLogger("library").warning("second %s", hostile)
log.debug("third")
try:
    raise ValueError(hostile)
except ValueError:
    log.exception("fourth")
"""


def lines_of(level: str) -> list[dict[str, object]]:
    """What a program writes to standard error, line by line; each must be a JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{level}", level)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture(scope="module")
def lines():
    return lines_of("info")


def test_hostile_text_stays_within_its_line(lines):
    assert [line["event"] for line in lines] == ["first", f"second {HOSTILE}", "fourth"]
    assert lines[0]["text"] == HOSTILE


def test_lines_carry_level_and_time(lines):
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert all(str(line["timestamp"]).endswith("Z") for line in lines)


def test_an_exception_is_one_line_with_its_traceback(lines):
    assert "ValueError" in str(lines[2]["exception"])


def test_lines_below_the_level_are_not_written():
    assert [line["event"] for line in lines_of("error")] == ["fourth"]
    assert "third" in [line["event"] for line in lines_of("debug")]


def test_lines_of_a_worker_say_which():
    program = PROGRAM.replace("{level}", "info").replace('set_up("info")', 'set_up("info", worker=3)')
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line)["worker"] for line in done.stderr.splitlines()] == [3, 3, 3]
