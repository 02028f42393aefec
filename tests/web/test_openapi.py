"""Claims about the API's description: true to the routes and to what is answered."""

from __future__ import annotations

from starlette.routing import Route

from sensorcast.web import openapi

from .conftest import Door


def test_every_reference_leads_to_a_schema() -> None:
    document = openapi.document()
    text = openapi.encoded().decode()
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])


async def test_every_route_of_the_api_is_described(door: Door) -> None:
    described = set((await door.client.get("/openapi.json")).json()["paths"])
    application = door.client._transport.app  # type: ignore[attr-defined]
    while not hasattr(application, "routes"):  # what is wrapped around every answer
        application = application._app
    routes = {openapi.address(route.path) for route in application.routes if isinstance(route, Route)}
    assert routes - {"/", "/docs", "/openapi.json"} == described - {openapi.INGEST_PATH}


async def test_a_described_answer_has_the_fields_that_are_sent(door: Door) -> None:
    await door.store_readings("fridge-a", [0])
    sent = (await door.get("/api/orgs/acme/units/fridge-a/latest")).json()
    assert set(openapi.document()["components"]["schemas"]["UnitReading"]["properties"]) == set(sent)


def test_addresses_are_written_as_clients_know_them() -> None:
    assert openapi.address("/api/orgs/{organization_id}/units") == "/api/orgs/{organizationId}/units"
