"""A page in headless Chromium, opened until something is true in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("browser.mjs")
START_ALLOWANCE_S = 30.0


def wait_in_page(url: str, until: str, *, within_s: float, **options: Any) -> Any:
    """Open `url` and give the first truthy value of the JavaScript expression `until`.

    Fails when there is none in time, or when the page logged an error. `options` are those of `browser.mjs`.
    """
    job = {"url": url, "until": until, "timeoutMs": within_s * 1000, **options}
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(job)],
        capture_output=True,
        text=True,
        timeout=within_s + START_ALLOWANCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["errors"] == [], outcome
    assert outcome["value"], f"never true within {within_s:g} s at {url}: {until}"
    return outcome["value"]
