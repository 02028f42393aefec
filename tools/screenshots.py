"""Takes the pictures of `docs/images/` from a running demo, in headless Chromium: what is there now, not what was."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import wait_in_page  # noqa: E402
from tests.support.server import ServerProcess  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402

LINK = re.compile(r"http://\S+/#token=\S+")
FAILING = "old-town.pharmacy-fridge-01"
# The demo delivers a day of history first, and sparklines and charts load a moment after the page.
FLEET_SHOWN = "performance.now() > 12000 && document.querySelectorAll('.unit .value').length >= 12"
UNIT_SHOWN = (
    "performance.now() > 4000 && [...document.querySelectorAll('.chart')].some((chart) => chart.dataset.points > 500)"
)
OPERATIONS_SHOWN = "performance.now() > 50000 && document.querySelectorAll('.figure').length > 0"
LAPTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


class Picture(NamedTuple):
    """A picture of one view: where it is, when it is complete, how large the screen is."""

    name: str
    view: str
    shown: str
    screen: Mapping[str, Any]


PICTURES = (
    Picture("fleet.png", "/", FLEET_SHOWN, LAPTOP),
    Picture("fleet-dark.png", "/", FLEET_SHOWN, {**LAPTOP, "dark": True}),
    Picture("fleet-phone.png", "/", FLEET_SHOWN.replace(">= 12", ">= 3"), PHONE),
    Picture("unit.png", f"/unit/{FAILING}?range=24h", UNIT_SHOWN, {"width": 1280, "height": 1_150}),
    Picture("operations-dark.png", "/operations", OPERATIONS_SHOWN, {**LAPTOP, "dark": True}),
)


def main() -> None:
    """Start a demo and take each picture."""
    with tempfile.TemporaryDirectory() as folder:
        demo = ServerProcess(Path(folder), command=("demo",)).start()
        try:
            link = wait_until(lambda: LINK.search(demo.output.read_text()), within_s=10, what="a printed link").group()
            for picture in PICTURES:
                path = ROOT / "docs" / "images" / picture.name
                address = f"{link}&view={quote(picture.view, safe='')}"
                wait_in_page(address, picture.shown, within_s=60, screenshot=str(path), **picture.screen)
                print(f"docs/images/{picture.name}")
        finally:
            demo.close()


if __name__ == "__main__":
    main()
