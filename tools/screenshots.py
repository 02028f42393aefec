"""Takes the pictures of `docs/images/` from a running demo, in headless Chromium: what is there now, not what was."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import wait_in_page  # noqa: E402
from tests.support.server import ServerProcess  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402

LINK = re.compile(r"http://\S+/#token=\S+")
# The demo delivers a day of history first; the picture is of what comes after it.
FLEET_SHOWN = "performance.now() > 15000 && document.querySelectorAll('tbody tr').length >= 24"
PICTURES = {
    "fleet.png": {"width": 1280, "height": 900},
    "fleet-dark.png": {"width": 1280, "height": 900, "dark": True},
    "fleet-phone.png": {"width": 390, "height": 844},
}


def main() -> None:
    """Start a demo and take each picture."""
    with tempfile.TemporaryDirectory() as folder:
        demo = ServerProcess(Path(folder), command=("demo",)).start()
        try:
            link = wait_until(lambda: LINK.search(demo.output.read_text()), within_s=10, what="a printed link")
            for name, view in PICTURES.items():
                path = ROOT / "docs" / "images" / name
                wait_in_page(link.group(), FLEET_SHOWN, within_s=30, screenshot=str(path), **view)
                print(f"docs/images/{name}")
        finally:
            demo.close()


if __name__ == "__main__":
    main()
