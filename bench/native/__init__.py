"""The programs in C that measure: compiled on first use with `cc`, kept beside their source until it changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
BUILD = FOLDER / "build"


def build(name: str) -> Path:
    """Compile `<name>.c` unless that was done before; give the program. Exits with a hint when there is no compiler."""
    source = FOLDER / f"{name}.c"
    program = BUILD / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise SystemExit(
                "This measurement needs a C compiler: install gcc (Debian: apt-get install gcc libc6-dev)."
            )
        BUILD.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)
    return program
