"""Fails when a tracked file names a place that only exists on one machine, or a package registry's host.

A checkout must install from whatever index its machine is set up for, and read the same for everybody.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Written in pieces, so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": re.compile(r"/(?:home|Users|root|work)/[\w.-]+|[A-Z]:\\\\?Users\\"),
    "a package registry's host": re.compile(
        r"\b(?:(?:files\.)?" + r"python" + r"hosted\.org|" + r"py" + r"pi\.org|registry\." + r"npm" + r"js\.org|"
        r"registry\." + r"yarnpkg\.com|(?:deb|security|archive)\." + r"debian\.org)\b"
    ),
}
# Files of others, kept as they came.
KEPT_AS_THEY_CAME = ("src/sensorcast/web/static/vendor/",)


def tracked_files() -> Iterator[Path]:
    """Every file of the checkout that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listing.stdout.split("\0")):
        if not name.startswith(KEPT_AS_THEY_CAME) and (ROOT / name).is_file():
            yield ROOT / name


def findings_in(path: Path) -> Iterator[str]:
    """Name each forbidden text of one file; binary files have none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(lines, 1):
        for what, pattern in FORBIDDEN.items():
            if match := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: names {what}: {match.group()}"


def main() -> int:
    """Print each finding; 1 when there is one."""
    findings = [finding for path in tracked_files() for finding in findings_in(path)]
    print("\n".join(findings) or "Texts clean: no machine paths, no registry hosts.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
