"""Fails on a function above 60 lines or a Python file above 400, the hard limits of the house style.

A function is counted from its `def` (or first decorator) to its last line, docstring included.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FUNCTION_MAX_LINES = 60
FILE_MAX_LINES = 400
ROOT = Path(__file__).resolve().parent.parent


def tracked_python_files() -> list[Path]:
    """Every Python file of the checkout that git knows or would take."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for name in listing.stdout.splitlines() if (path := ROOT / name).is_file()]


def oversized(path: Path) -> Iterator[str]:
    """Name what is too long in one file."""
    text = path.read_text(encoding="utf-8")
    place = path.relative_to(ROOT)
    if (lines := text.count("\n")) > FILE_MAX_LINES:
        yield f"{place}: {lines} lines; split it (limit {FILE_MAX_LINES})"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if (lines := (node.end_lineno or first) - first + 1) > FUNCTION_MAX_LINES:
            yield f"{place}:{first}: {node.name} has {lines} lines; split it (limit {FUNCTION_MAX_LINES})"


def main() -> int:
    """Print each finding; 1 when there is one."""
    findings = [finding for path in tracked_python_files() for finding in oversized(path)]
    print("\n".join(findings) or "Budgets kept: functions and files are short enough.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
