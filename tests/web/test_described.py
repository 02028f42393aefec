"""Claims about the rows of the API description: what is put may answer with either of two statuses."""

from __future__ import annotations

from sensorcast.web import openapi


def test_a_second_status_of_success_has_the_same_answer() -> None:
    responses = openapi.document()["paths"]["/api/orgs/{organizationId}/sites/{siteId}"]["put"]["responses"]
    assert responses["200"] == responses["201"]
    assert "content" in responses["200"]
