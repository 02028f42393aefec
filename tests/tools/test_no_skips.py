"""In CI a skipped test is a failure; elsewhere it is a skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SKIPS = {
    "one test": "import pytest\n@pytest.mark.skip(reason='no redis')\ndef test_a(): pass\n",
    "inside a test": "import pytest\ndef test_a(): pytest.skip('no redis')\n",
    "a whole module": "import pytest\npytest.skip('no redis', allow_module_level=True)\n",
}


def run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder under the rules of our conftest."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, str(folder)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", SKIPS)
def test_skip_fails_in_ci_and_says_why(tmp_path, name):
    (tmp_path / "test_skips.py").write_text(SKIPS[name])
    done = run(tmp_path, "true")
    assert done.returncode != 0
    assert "skipped, which CI does not allow" in done.stdout
    assert "no redis" in done.stdout


def test_skip_is_a_skip_on_a_developers_machine(tmp_path):
    (tmp_path / "test_skips.py").write_text(SKIPS["inside a test"])
    assert "1 skipped" in run(tmp_path, "").stdout
