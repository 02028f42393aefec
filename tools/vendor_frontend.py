"""Copies the browser files of npm packages, with their licences, into the static files; `--check` only compares.

The versions are those of package.json, as installed in node_modules by set-up; a file is copied as it is published.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules"
VENDOR = ROOT / "src" / "sensorcast" / "web" / "static" / "vendor"

FILES = {
    "socket.io-client": ("dist/socket.io.esm.min.js", "LICENSE"),
    "uplot": ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"),
}


def wanted() -> dict[Path, bytes]:
    """Give every file that belongs into the vendor folder, with its content."""
    pinned = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    files = {}
    for package, paths in FILES.items():
        installed = json.loads((PACKAGES / package / "package.json").read_text(encoding="utf-8"))["version"]
        if installed != pinned[package]:
            sys.exit(f"{package} {installed} is installed, package.json pins {pinned[package]}: run tools/setup dev")
        for path in paths:
            name = f"{package}.{Path(path).name}" if path == "LICENSE" else Path(path).name
            files[VENDOR / name] = (PACKAGES / package / path).read_bytes()
    return files


def main() -> int:
    """Copy, or with `--check` tell which files differ; 1 when one does."""
    files = wanted()
    present = set(VENDOR.glob("*")) if VENDOR.is_dir() else set()
    stale = [path for path, content in files.items() if not path.is_file() or path.read_bytes() != content]
    stale += sorted(present - set(files))
    if "--check" not in sys.argv:
        VENDOR.mkdir(parents=True, exist_ok=True)
        for path in stale:
            if path in files:
                path.write_bytes(files[path])
            else:
                path.unlink()
        print(f"Vendored: {', '.join(path.name for path in stale) or 'nothing, all files were current'}.")
        return 0
    names = ", ".join(path.name for path in stale)
    print(f"Stale, run tools/vendor_frontend.py: {names}" if stale else "Vendored files current.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
