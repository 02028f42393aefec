"""More than the server can take: what is accepted is kept and answered in time, and soon all is as before."""

from __future__ import annotations

import pytest

from bench.ingest.client import Answers, send_all
from bench.ingest.workload import bodies
from tests.faults.test_kill import NO_QUOTA

REQUESTS = 3_000
READINGS = 100
ACCEPTED_P99_MS = 2_000


@pytest.mark.long
@pytest.mark.timeout(300)
def test_far_beyond_its_capacity_nothing_accepted_is_dropped_or_late(start_server):
    server = start_server(**NO_QUOTA, queue_max_readings=5_000)
    organization = server.organization("org-0")
    calm = send_all(server.port, organization.key, bodies(100, READINGS), connections=4)
    flood = send_all(server.port, organization.key, bodies(REQUESTS, READINGS), connections=300)
    after = send_all(server.port, organization.key, bodies(100, READINGS), connections=4)
    print(*(line(name, answers) for name, answers in (("calm", calm), ("flood", flood), ("after", after))), sep="\n")
    assert set(flood.statuses) == {200, 503}
    assert flood.percentile_ms(0.99, status=200) < ACCEPTED_P99_MS
    assert after.seconds < 5
    assert after.percentile_ms(0.5, status=200) < 5 * calm.percentile_ms(0.5, status=200) + 50
    accepted = sum(answers.statuses[200] for answers in (calm, flood, after)) * READINGS
    assert stored(organization) == accepted


def line(name: str, answers: Answers) -> str:
    p99 = answers.percentile_ms(0.99, status=200)
    return f"{name}: {dict(answers.statuses)}, p99 of accepted {p99:.0f} ms, {answers.seconds:.1f} s"


def stored(organization) -> int:
    """Count what the server has, by its export: a reading a line."""
    units = organization.get("units?limit=1000").json()["units"]
    return sum(organization.get(f"units/{unit['unitId']}/readings.ndjson").text.count("\n") for unit in units)
