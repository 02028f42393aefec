"""Everybody comes back at once after a crash, faster than the server lets them: all get in, ingestion goes on.

`bench.herd` is the same with 10,000 clients on two cores.
"""

from __future__ import annotations

from tests.faults.test_kill import NO_QUOTA
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.server import reading

CLIENTS = 30
HANDSHAKES_PER_S = 5
BACK_WITHIN_S = 60


def test_a_herd_comes_back_after_a_crash_and_ingestion_answers_meanwhile(start_server, browser_client):
    server = start_server(**NO_QUOTA, handshakes_per_s=HANDSHAKES_PER_S)
    organization, ledger = server.organization(), Ledger()
    soon = {"reconnectionDelayMax": 1_000}
    clients = [browser_client(server.url, token=organization.viewer_token, **soon) for _ in range(CLIENTS)]
    for client in clients:
        client.wait_for_event("connection:ack", within_s=BACK_WITHIN_S)
    with Gateways(organization, 1, ledger, patient=True):
        server.kill()
        seen = [len(client.seen) for client in clients]
        server.restart()
        enough = len(ledger.acknowledged) + 20
        for client, after in zip(clients, seen, strict=True):
            client.wait_for_event("connection:ack", within_s=BACK_WITHIN_S, after=after)
        assert len(ledger.acknowledged) >= enough
    assert refused_handshakes(server) > 0
    [reading_id] = organization.post(reading("after")).json()["readingIds"]
    for client in clients:
        client.wait_for_reading(reading_id)
    assert set(ledger.refused) <= {503}
    assert_nothing_lost(server, organization, ledger, besides={"after"})


def refused_handshakes(server) -> float:
    wanted = 'sensorcast_handshakes_refused_total{reason="503"} '
    lines = server.http.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))
