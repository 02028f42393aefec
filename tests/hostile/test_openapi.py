"""Requests made up from our own API description, and against it: never an answer that says we are broken."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sensorcast.web import openapi
from tests.support.server import Organization

SCHEMA = schemathesis.openapi.from_dict(openapi.document())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_breaks_the_server(organization_on_each_store: Organization, operation) -> None:
    organization = organization_on_each_store
    token = organization.token(role="owner")
    headers = {"Authorization": f"Bearer {token}", "X-API-Key": organization.key}

    @given(
        case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES)),
        is_member=st.booleans(),
    )
    @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case, is_member: bool) -> None:
        if is_member and "organizationId" in (case.path_parameters or {}):
            case.path_parameters["organizationId"] = organization.name
        answer = case.call(base_url=organization.server.url, headers=headers)
        assert answer.status_code < 500, answer.text

    ask()
