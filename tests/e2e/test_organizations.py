"""Organizations never mix: (organization, unit) is the identity of a unit on every surface a stock client can touch."""

from __future__ import annotations

import pytest

from tests.support.server import reading


@pytest.fixture
def two(shared_server, browser_client):
    """Two organizations, each with a unit called `unit-1` and a connected viewer."""
    sides = [shared_server.organization(), shared_server.organization()]
    clients = [browser_client(shared_server.url, token=side.viewer_token).connected() for side in sides]
    return list(zip(sides, clients, strict=True))


def test_same_unit_id_in_two_organizations_is_two_units(two):
    ids = []
    for temperature, (organization, _) in enumerate(two):
        ids += organization.post(reading("unit-1", temperature=float(temperature))).json()["readingIds"]
    for own_id, temperature, (_, client) in zip(ids, range(2), two, strict=True):
        client.wait_for_reading(own_id)
        assert client.call("get:latest", "unit-1")["temperature"] == temperature
    # A marker for each side after the other's batch was seen: whatever leaked would have come before it.
    for own_id, (organization, client) in zip(ids, two, strict=True):
        [marker] = organization.post(reading("marker")).json()["readingIds"]
        client.wait_for_reading(marker)
        assert {item["id"] for item in client.readings()} == {own_id, marker}


def test_unit_of_another_organization_answers_exactly_as_an_unknown_one(two):
    (mine, client), (theirs, _) = two
    theirs.post(reading("only-theirs"))
    mine.post(reading("mine"))
    assert client.call("get:latest", "only-theirs") is None
    assert client.call("get:latest", "only-theirs") == client.call("get:latest", "nobodys")
    foreign, unknown = mine.get("units/only-theirs/latest"), mine.get("units/nobodys/latest")
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "not_found")
    assert foreign.text.replace("only-theirs", "nobodys") == unknown.text


def test_path_of_another_organization_answers_as_an_unknown_organization(two):
    (mine, _), (theirs, _) = two
    theirs.post(reading("unit-1"))
    foreign = mine.get(f"/api/orgs/{theirs.name}/units")
    unknown = mine.get("/api/orgs/no-such-organization/units")
    assert foreign.status_code == unknown.status_code
    assert foreign.status_code in {403, 404}
    assert foreign.text.replace(theirs.name, "?") == unknown.text.replace("no-such-organization", "?")


def test_latest_of_all_units_lists_only_the_own_organization(two):
    (mine, client), (theirs, _) = two
    theirs.post(reading("theirs-1"), reading("theirs-2"))
    mine.post(reading("mine-1"), reading("mine-2"))
    assert {item["unitId"] for item in client.call("get:latest:all")} == {"mine-1", "mine-2"}


def test_subscribing_to_a_foreign_unit_gives_nothing_of_it(two, browser_client):
    (mine, _), (theirs, their_client) = two
    client = browser_client(mine.server.url, token=mine.viewer_token, auth={"stream": "units"}).connected()
    answer, unknown = client.call("subscribe:unit", "unit-1"), client.call("subscribe:unit", "nobodys")
    assert answer == unknown
    [foreign_id] = theirs.post(reading("unit-1")).json()["readingIds"]
    their_client.wait_for_reading(foreign_id)
    client.call("ping")  # whatever was sent with the flush came before this answer
    assert client.readings() == []


def test_subscribing_to_a_foreign_organization_is_refused(two):
    (_, client), (theirs, their_client) = two
    answer = client.call("subscribe:organization", theirs.name)
    assert answer["ok"] is False
    assert answer == client.call("subscribe:organization", "no-such-organization")
    [foreign_id] = theirs.post(reading("unit-1")).json()["readingIds"]
    their_client.wait_for_reading(foreign_id)
    client.call("ping")
    assert client.readings() == []


def test_organization_id_in_the_handshake_cannot_name_a_foreign_one(two, browser_client):
    (mine, _), (theirs, _) = two
    client = browser_client(mine.server.url, token=mine.viewer_token, auth={"organizationId": theirs.name})
    refused = client.wait_for("connect_error")
    assert refused["data"]["code"] in {"forbidden", "not_found", "unauthenticated"}
