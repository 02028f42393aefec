"""Rates and sites as a stock npm client asks for them."""

from __future__ import annotations

import pytest

from tests.support.server import reading
from tests.support.waiting import wait_until


def connect(browser_client, organization, **auth):
    return browser_client(organization.server.url, token=organization.viewer_token, auth=auth).connected()


def test_a_rate_for_one_unit_gathers_its_readings(organization, browser_client):
    client = connect(browser_client, organization, stream="units")
    answer = client.call("subscribe:unit", "u1", {"maxRateHz": 1, "mode": "all"})
    assert answer == {"ok": True, "rateHz": 1.0, "mode": "all"}
    at_full_rate = connect(browser_client, organization)
    ids = []

    def send_and_gather() -> bool:
        [reading_id] = organization.post(reading("u1")).json()["readingIds"]
        at_full_rate.wait_for_reading(reading_id)
        ids.append(reading_id)
        return any(batch["count"] > 1 for batch in client.batches())

    wait_until(send_and_gather, within_s=30, what="several readings in one batch")
    client.wait_for_reading(ids[-1])
    assert [item["id"] for item in client.readings()] == ids
    assert len(client.batches()) < len(at_full_rate.batches()) == len(ids)


def test_the_whole_organization_at_a_rate_in_the_mode_latest(organization, browser_client):
    client = connect(browser_client, organization, maxRateHz=1, mode="latest")
    values = range(20)
    for value in values:
        organization.post(reading("u1", temperature=float(value)))
    client.wait(
        lambda seen: seen["is"] == "event" and seen["name"] == "sensor:readings:batch"
        and seen["args"][0]["readings"][-1]["temperature"] == values[-1],
        within_s=30,
        what="the last value",
    )  # fmt: skip
    assert {batch["count"] for batch in client.batches()} == {1}


@pytest.mark.parametrize("options", [{"maxRateHz": 0}, {"maxRateHz": "fast"}, {"mode": "newest"}])
def test_a_rate_that_is_none_is_refused(organization, browser_client, options):
    client = connect(browser_client, organization)
    assert client.call("subscribe:unit", "u1", options)["error"]["code"] == "invalid"


def test_a_connection_that_asks_for_no_possible_rate_is_refused(organization, browser_client):
    client = browser_client(organization.server.url, token=organization.viewer_token, auth={"maxRateHz": -1})
    assert client.wait_for("connect_error")["data"]["code"] == "invalid"


def test_a_site_is_followed_by_the_site_id_of_readings(organization, browser_client):
    client = connect(browser_client, organization, stream="units")
    assert client.call("subscribe:site", "north") == {"ok": True}
    answers = organization.post(
        reading("u1", siteId="north", temperature=1.0), reading("u2", siteId="south", temperature=1.0)
    ).json()
    client.wait_for_reading(answers["readingIds"][0])
    assert client.call("unsubscribe:site", "north") == {"ok": True}
    organization.post(reading("u1", siteId="north", temperature=2.0))
    [latest] = [client.call("get:latest", "u1")["temperature"]]
    assert latest == 2.0
    assert [item["id"] for item in client.readings()] == answers["readingIds"][:1]
