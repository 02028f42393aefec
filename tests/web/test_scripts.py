"""Runs the tests of the page's modules, written in JavaScript and run by Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test.mjs"))


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.stem)
def test_modules_of_the_page_pass_their_tests(script: Path) -> None:
    done = subprocess.run(["node", "--test", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
