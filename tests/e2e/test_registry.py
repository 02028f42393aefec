"""The registry at work: units become known by themselves, and readings come to the site where their unit stands."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from sensorcast.app import open_store
from sensorcast.model import Device, Entry, Organization, Unit
from tests.support import server as support
from tests.support.server import reading
from tests.support.waiting import wait_until


def put_unit(organization: support.Organization, unit_id: str, **body: Any) -> None:
    answer = organization.server.http.put(
        f"/api/orgs/{organization.name}/units/{unit_id}",
        json=body,
        headers={"Authorization": f"Bearer {organization.token(role='admin')}"},
    )
    assert answer.status_code in {200, 201}, answer.text


def put_site(organization: support.Organization, site_id: str) -> None:
    answer = organization.server.http.put(
        f"/api/orgs/{organization.name}/sites/{site_id}",
        json={},
        headers={"Authorization": f"Bearer {organization.token(role='admin')}"},
    )
    assert answer.status_code in {200, 201}, answer.text


def entries(server: support.ServerProcess, kind: type[Entry], organization_id: str) -> list[str]:
    """Give the ids of the entries of a kind, as another process sees them."""

    async def listed() -> list[str]:
        store = open_store(server.store_settings)
        await store.open()
        try:
            return [each.entry_id for each in await store.list_entries(kind, organization_id, after=None, limit=99)]
        finally:
            await store.close()

    return asyncio.run(listed())


def metric(server: support.ServerProcess, line: str) -> float:
    text = server.http.get("/metrics").text
    return sum(float(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line + " "))


def test_a_follower_of_a_site_gets_readings_of_units_that_only_the_registry_puts_there(organization, browser_client):
    organization.post(reading("u1"), reading("u2"))
    put_site(organization, "north")
    put_unit(organization, "u1", siteId="north")
    client = browser_client(
        organization.server.url, token=organization.viewer_token, auth={"stream": "units"}
    ).connected()
    assert client.call("subscribe:site", "north") == {"ok": True}
    at_site, _ = organization.post(reading("u1"), reading("u2")).json()["readingIds"]
    client.wait_for_reading(at_site)
    assert client.call("get:latest", "u1")["siteId"] == "north"
    assert {batch["unitId"] for batch in client.batches()} == {"u1"}


def test_first_readings_make_organization_unit_and_device_known(organization):
    organization.post(reading("u1", deviceId="d1", temperature=1.0), reading("u2"))
    server = organization.server
    wait_until(lambda: entries(server, Device, organization.name) == ["d1"], within_s=30, what="the device is known")
    wait_until(lambda: entries(server, Unit, organization.name) == ["u1", "u2"], within_s=30, what="the units are")
    assert entries(server, Organization, organization.name) == [organization.name]


def test_what_was_registered_in_the_background_is_there_after_a_stop(start_server):
    server = start_server()
    organization = server.organization()
    organization.post(*(reading(f"u{number:02}") for number in range(50)))
    assert server.terminate() == 0
    assert len(entries(server, Unit, organization.name)) == 50


def test_without_auto_registration_a_unit_is_rejected_until_it_is_registered(start_server, browser_client):
    server = start_server(auto_register="false", flush_interval_ms=100)
    organization = server.organization()
    put_unit(organization, "known")
    client = browser_client(server.url, token=organization.viewer_token).connected()
    answer = organization.post(reading("new"), reading("known")).json()
    assert [(item["index"], item["code"]) for item in answer["rejected"]] == [(0, "unknown_unit")]
    assert (answer["insertedCount"], answer["readingIds"][0]) == (1, None)
    client.wait_for_reading(answer["readingIds"][1])
    assert [batch["unitId"] for batch in client.batches()] == ["known"]
    put_unit(organization, "new")
    assert organization.post(reading("new")).json()["insertedCount"] == 1


def test_beyond_the_bound_readings_are_taken_all_the_same(start_server):
    server = start_server(registry_units_max=2, registry_cache_s=0.1)
    organization = server.organization()
    full = 'sensorcast_registry_skipped_total{reason="full"}'
    for _ in range(2):
        answer = organization.post(*(reading(f"u{number}") for number in range(5))).json()
        assert (answer["insertedCount"], answer["rejected"]) == (5, [])
    wait_until(lambda: metric(server, full) >= 3, within_s=30, what="three units were left out")
    before = metric(server, full)

    def tried_again() -> bool:
        organization.post(reading("u4"))
        return metric(server, full) > before

    wait_until(tried_again, within_s=30, what="another try")
    assert len(entries(server, Unit, organization.name)) == 2
    lines = [line for line in server.log_lines() if line["event"] == "registry_full"]
    assert [(line["organization"], line["setting"]) for line in lines] == [(organization.name, "registry_units_max")]


def test_a_move_of_a_unit_acts_on_another_node_within_the_cache_time(start_server, postgres):
    url = asyncio.run(postgres.new_database())
    here, there = (start_server(database_url=url, registry_cache_s=1) for _ in range(2))
    organization = here.organization()
    elsewhere = support.Organization(there, organization.name)
    for site_id in ("north", "south"):
        put_site(organization, site_id)

    def site_there() -> str | None:
        elsewhere.post(reading("u1"))
        found: str | None = elsewhere.get("units").json()["units"][0]["latest"]["siteId"]
        return found

    for site_id in ("north", "south"):
        put_unit(organization, "u1", siteId=site_id)
        asked_s = time.monotonic()
        wait_until(lambda site_id=site_id: site_there() == site_id, within_s=30, what=f"u1 stands in the {site_id}")
        assert time.monotonic() - asked_s < 10
    assert entries(there, Unit, organization.name) == ["u1"]


def test_changes_of_the_organization_at_the_same_time_are_all_kept(organization_on_each_store):
    organization = organization_on_each_store
    address = f"{organization.server.url}/api/orgs/{organization.name}"
    headers = {"Authorization": f"Bearer {organization.token(role='admin')}"}

    async def change_both(number: int) -> None:
        async with httpx.AsyncClient(headers=headers, timeout=30) as one, httpx.AsyncClient(headers=headers) as other:
            answers = await asyncio.gather(
                one.patch(address, json={"name": f"name {number}"}),
                other.patch(address, json={"metadata": {"number": number}}, timeout=30),
            )
            found = (await one.get(address)).json()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert (found["name"], found["metadata"]) == (f"name {number}", {"number": number})

    for number in range(10):
        asyncio.run(change_both(number))
