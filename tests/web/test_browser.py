"""Runs the tests of the dashboard in headless Chromium against real servers, written in JavaScript and run by Node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / "browser"
_SCRIPTS = sorted(_FOLDER.glob("*.test.mjs"))


@pytest.mark.real_time
@pytest.mark.timeout(600)  # a minute on a machine of its own
@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.stem)
def test_dashboard_in_a_browser(script: Path) -> None:
    command = ["node", "--test", "--test-reporter=spec", str(script)]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
