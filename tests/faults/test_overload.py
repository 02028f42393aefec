"""More than the server can take: what is accepted is kept and answered in time, and soon all is as before."""

from __future__ import annotations

import pytest

from bench.ingest.client import Answers, send_all, send_at
from bench.ingest.workload import bodies
from tests.faults.test_kill import NO_QUOTA

READINGS = 100
ACCEPTED_P99_MS = 2_000
OVERLOAD_S = 10
RECOVERY_S = 5


@pytest.mark.long
@pytest.mark.timeout(300)
def test_at_three_times_its_capacity_nothing_accepted_is_dropped_or_late_and_soon_all_is_as_before(start_server):
    server = start_server(**NO_QUOTA)
    organization = server.organization("org-0")
    full = send_all(server.port, organization.key, bodies(2_000, READINGS), connections=32)
    capacity = 2_000 / full.seconds
    phases = {"full": full}
    for name, share, seconds in (("calm", 0.25, 5), ("overload", 3, OVERLOAD_S), ("after", 0.25, RECOVERY_S)):
        sent = bodies(int(share * capacity * seconds), READINGS)
        rate = share * capacity
        phases[name] = send_at(server.port, organization.key, sent, requests_per_s=rate, connections=500)
    print(f"capacity {capacity:.0f} requests/s of {READINGS} readings")
    print(*(line(name, answers) for name, answers in phases.items()), sep="\n")
    assert set(phases["overload"].statuses) == {200, 503}
    assert phases["overload"].percentile_ms(0.99) < ACCEPTED_P99_MS
    assert set(phases["after"].statuses) == {200}
    assert last_ms(phases["after"]) < 5 * phases["calm"].percentile_ms(0.5) + 50
    accepted = sum(answers.statuses[200] for answers in phases.values()) * READINGS
    assert stored(organization) == accepted


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_flood_from_hundreds_of_connections_is_refused_in_good_order(start_server):
    server = start_server(**NO_QUOTA, queue_max_readings=5_000)
    organization = server.organization("org-0")
    flood = send_all(server.port, organization.key, bodies(3_000, READINGS), connections=300)
    print(line("flood", flood))
    assert set(flood.statuses) == {200, 503}
    assert flood.percentile_ms(0.99) < 10_000  # how fast the machine is decides; the test above knows its capacity
    assert stored(organization) == flood.statuses[200] * READINGS


def line(name: str, answers: Answers) -> str:
    p50, p99 = answers.percentile_ms(0.5), answers.percentile_ms(0.99)
    return f"{name}: {dict(answers.statuses)}, accepted p50 {p50:.0f} ms, p99 {p99:.0f} ms, {answers.seconds:.1f} s"


def last_ms(answers: Answers) -> float:
    """The median latency in the last fifth of a phase."""
    latencies_s = answers.latencies_s[200]
    return 1_000 * sorted(latencies_s[-len(latencies_s) // 5 :])[len(latencies_s) // 10]


def stored(organization) -> int:
    """Count what the server has, by its export: a reading a line."""
    units = organization.get("units?limit=1000").json()["units"]
    return sum(organization.get(f"units/{unit['unitId']}/readings.ndjson").text.count("\n") for unit in units)
