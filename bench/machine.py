"""What a measurement was made on: printed above every table, so that a number is never read without it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def describe(*packages: str, programs: tuple[str, ...] = ()) -> str:
    """Give processor, cores, load, kernel, Python, and the versions of `packages` and `programs`, one line each."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    lines = [
        f"machine   {_processor()}, {os.cpu_count()} cores, load {load}, {platform.system()} {platform.release()}",
        f"python    {platform.python_implementation()} {platform.python_version()}",
        "packages  " + ", ".join(f"{name} {version(name)}" for name in packages),
    ]
    lines += [f"program   {name} {_program_version(name)}" for name in programs]
    lines.append(f"command   python {' '.join(_command())}")
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _program_version(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        return "not installed"
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (answer.stdout or answer.stderr).strip().partition("\n")[0]


def _command() -> list[str]:
    package = getattr(sys.modules["__main__"], "__spec__", None)
    return ["-m", package.name.removesuffix(".__main__"), *sys.argv[1:]] if package else sys.argv
