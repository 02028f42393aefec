"""Pages of a unit's history over HTTP, while readings keep coming: each reading is given once and none is left out."""

from __future__ import annotations

import time

from tests.support.server import reading

SECOND_US = 1_000_000
NOW_US = time.time_ns() // 1_000 - 600 * SECOND_US


def test_pages_stay_in_place_while_readings_are_inserted_everywhere(organization_on_each_store):
    organization = organization_on_each_store
    first = [reading("u", at_us=NOW_US + number * SECOND_US) for number in range(200)]
    ids = organization.post(*first).json()["readingIds"]
    seen: list[dict] = []
    cursor, pages = "", 0
    while cursor is not None:
        page = organization.get(f"units/u/readings?limit=9{cursor and '&cursor='}{cursor}").json()
        seen += page["readings"]
        cursor, pages = page.get("nextCursor"), pages + 1
        newer, between, older = (NOW_US + second * SECOND_US + pages for second in (250, 200 - 9 * pages, -pages))
        organization.post(*(reading("u", at_us=at_us) for at_us in (newer, between, older)))
    times = [item["recordedAt"] for item in seen]
    assert times == sorted(set(times), reverse=True)
    assert set(ids) <= {item["id"] for item in seen}
    assert pages > 200 // 9
    newest = organization.get("units/u/readings?limit=1").json()["readings"]
    assert newest[0]["recordedAt"] > times[0]
