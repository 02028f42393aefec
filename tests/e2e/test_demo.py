"""`make demo`'s program: a server and a simulated fleet, watched by a stock client with the token it prints."""

from __future__ import annotations

from tests.support.browser import wait_in_page
from tests.support.waiting import wait_until

LEAST_UNITS = 24
# Whatever the page looks like: at least 24 temperatures are to be read on it, and most of them have been seen to change
# (a unit whose compressor rests may keep its tenth of a degree for a while).
MOVING_TEMPERATURES = """
(() => {
  const shown = document.body.innerText.match(/-?\\d+\\.\\d ?°C/g) ?? [];
  window.atFirst ??= shown.length >= 24 ? shown : undefined;
  window.moved ??= new Set();
  shown.forEach((text, place) => window.atFirst && text !== window.atFirst[place] && window.moved.add(place));
  return shown.length >= 24 && window.moved.size;
})() >= 18
"""


def test_demo_shows_a_moving_fleet_to_whoever_follows_the_printed_link(demo, browser_client):
    assert demo.link.startswith(f"{demo.server.url}/#token=")
    client = browser_client(demo.server.url, token=demo.link.rpartition("=")[2]).connected()
    wait_until(lambda: len(moving_units(client)) >= LEAST_UNITS, within_s=30, what=f"{LEAST_UNITS} moving units")
    assert len(client.call("get:latest:all")) >= LEAST_UNITS


def test_page_of_the_printed_link_shows_the_fleet_moving_in_a_browser(demo):
    wait_in_page(demo.link, MOVING_TEMPERATURES, within_s=30, height=2000)


def moving_units(client):
    """Units that sent more than one temperature."""
    seen = {}
    for batch in client.batches():
        seen.setdefault(batch["unitId"], set()).update(item["temperature"] for item in batch["readings"])
    return [unit_id for unit_id, temperatures in seen.items() if len(temperatures) > 1]
