"""Every metric, once. Owns the Prometheus registry of the process and the names in it.

The invariant: no label ever holds a unit, organization, socket or user id, so the number of series is fixed. Counters
are touched per request, per flush or per connection, never per reading or per delivered frame. The reference page
`docs/reference/metrics.md` is generated from `REGISTRY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY: Final = CollectorRegistry()

_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

INGEST_REQUESTS: Final = Counter(
    "sensorcast_ingest_requests", "Ingest requests answered, by HTTP status.", ["status"], registry=REGISTRY
)
INGEST_READINGS: Final = Counter(
    "sensorcast_ingest_readings",
    "Readings received, by outcome: stored, duplicate, conflict, rejected.",
    ["outcome"],
    registry=REGISTRY,
)
STREAM_ERRORS: Final = Counter(
    "sensorcast_stream_errors",
    "Stored readings that could not be handed to the stream; their answers were not touched.",
    registry=REGISTRY,
)
INGEST_QUEUE_READINGS: Final = Gauge(
    "sensorcast_ingest_queue_readings", "Readings accepted and waiting for the store.", registry=REGISTRY
)
STORE_COMMIT_SECONDS: Final = Histogram(
    "sensorcast_store_commit_seconds", "Duration of one group commit.", buckets=_FAST_S, registry=REGISTRY
)
STORE_COMMIT_READINGS: Final = Histogram(
    "sensorcast_store_commit_readings",
    "Readings in one group commit.",
    buckets=(1, 5, 25, 100, 500, 1_000, 5_000, 20_000),
    registry=REGISTRY,
)
REGISTRY_ADDED: Final = Counter(
    "sensorcast_registry_added", "Units and devices registered because of their first reading.", registry=REGISTRY
)
REGISTRY_SKIPPED: Final = Counter(
    "sensorcast_registry_skipped",
    "Units and devices not registered for now: full (the organization has all it may), queue (too many wait), store "
    "(it has trouble). Their readings were not touched.",
    ["reason"],
    registry=REGISTRY,
)
REGISTRY_CACHED: Final = Gauge(
    "sensorcast_registry_cached_entries", "Units and devices remembered from the registry.", registry=REGISTRY
)
RETENTION_DELETED: Final = Counter(
    "sensorcast_retention_deleted_readings", "Readings deleted because they were too old.", registry=REGISTRY
)
FLUSH_SECONDS: Final = Histogram(
    "sensorcast_flush_seconds", "Duration of one flush tick.", buckets=_FAST_S, registry=REGISTRY
)
FLUSH_READINGS: Final = Counter("sensorcast_flush_readings", "Readings flushed to rooms.", registry=REGISTRY)
FLUSH_BATCHES: Final = Counter("sensorcast_flush_batches", "Batches flushed to rooms.", registry=REGISTRY)
FLUSH_ERRORS: Final = Counter(
    "sensorcast_flush_errors", "Units or rooms that failed within a flush; the others went on.", registry=REGISTRY
)
DELIVER_ERRORS: Final = Counter(
    "sensorcast_deliver_errors", "Deliveries to one subscriber that failed; the others went on.", registry=REGISTRY
)
ADAPTER_MESSAGES: Final = Counter(
    "sensorcast_adapter_messages",
    "Broadcasts exchanged with Node's Redis adapter: sent, failed, heard, ignored (not an event).",
    ["outcome"],
    registry=REGISTRY,
)
INGEST_TO_DELIVERY_SECONDS: Final = Histogram(
    "sensorcast_ingest_to_delivery_seconds",
    "From the arrival of the oldest reading of an organization's flush until all of it was handed to its connections.",
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0),
    registry=REGISTRY,
)
LOOP_LAG_SECONDS: Final = Histogram(
    "sensorcast_loop_lag_seconds",
    "How late the event loop came back to the flush timer: what everything on it waits.",
    buckets=_FAST_S,
    registry=REGISTRY,
)
BUFFERED_READINGS: Final = Gauge(
    "sensorcast_buffered_readings", "Readings waiting for the next flush.", registry=REGISTRY
)
CACHED_UNITS: Final = Gauge("sensorcast_cached_units", "Units in the latest-reading cache.", registry=REGISTRY)
BUFFER_SKIPPED: Final = Counter(
    "sensorcast_buffer_skipped_readings",
    "Stored readings left out of a live batch because the buffer was full.",
    registry=REGISTRY,
)
LATEST_EVICTED: Final = Counter(
    "sensorcast_latest_evicted_units", "Units that left the full latest-reading cache.", registry=REGISTRY
)
HELD_READINGS: Final = Counter(
    "sensorcast_held_readings",
    "Readings that waited for one flush more, because their unit comes in at several nodes.",
    registry=REGISTRY,
)
SHARED_EVICTED: Final = Counter(
    "sensorcast_shared_evicted_units",
    "Units of other nodes that were forgotten because there were too many: their readings may come late.",
    registry=REGISTRY,
)
CONNECTIONS: Final = Gauge(
    "sensorcast_connections", "Open Engine.IO connections, by transport.", ["transport"], registry=REGISTRY
)
CONNECTIONS_OPENED: Final = Counter(
    "sensorcast_connections_opened", "Engine.IO connections opened since the start.", registry=REGISTRY
)
CONNECTIONS_CLOSED: Final = Counter(
    "sensorcast_connections_closed", "Engine.IO connections closed, by reason.", ["reason"], registry=REGISTRY
)
CREDENTIALS_REFUSED: Final = Counter(
    "sensorcast_credentials_refused",
    "Tokens and API keys that did not hold (bad), or were not looked at because too many had not (limited).",
    ["reason"],
    registry=REGISTRY,
)
QUOTA_REFUSALS: Final = Counter(
    "sensorcast_quota_refusals",
    "Refusals because an organization used up its share: requests, readings, subscriptions.",
    ["reason"],
    registry=REGISTRY,
)
SOCKETS_REVOKED: Final = Counter(
    "sensorcast_sockets_revoked", "Sockets cut because their credential was revoked.", registry=REGISTRY
)
HANDSHAKES_REFUSED: Final = Counter(
    "sensorcast_handshakes_refused", "Handshakes refused, by reason.", ["reason"], registry=REGISTRY
)
CONNECTIONS_REFUSED: Final = Counter(
    "sensorcast_connections_refused",
    "TCP connections refused before they were read, by cap: address, http, descriptors.",
    ["cap"],
    registry=REGISTRY,
)
HTTP_CONNECTIONS: Final = Gauge(
    "sensorcast_http_connections",
    "Open TCP connections that are no WebSocket: HTTP, polling, and silent ones.",
    registry=REGISTRY,
)
OUTBOUND_BYTES: Final = Counter(
    "sensorcast_outbound_bytes", "Bytes of batches handed to connections.", registry=REGISTRY
)
OUTBOUND_UNSENT_BYTES: Final = Gauge(
    "sensorcast_outbound_unsent_bytes",
    "Bytes that connections have not taken yet, looked at every second.",
    registry=REGISTRY,
)
CONNECTIONS_SLOW: Final = Gauge(
    "sensorcast_connections_slow",
    "Connections whose batches are conflated now, looked at every second.",
    registry=REGISTRY,
)
BATCHES_CONFLATED: Final = Counter(
    "sensorcast_batches_conflated",
    "Batches replaced by a newer one of their unit for a slow client.",
    registry=REGISTRY,
)
CLIENT_EVENTS_REFUSED: Final = Counter(
    "sensorcast_client_events_refused",
    "Events of clients beyond their rate, or that do not read their answers; answered with `rate_limited` where they "
    "asked for an answer.",
    registry=REGISTRY,
)
CLIENTS_CUT: Final = Counter(
    "sensorcast_clients_cut",
    "Connections cut for not reading, by bound: bytes, stall, or total (of all connections).",
    ["bound"],
    registry=REGISTRY,
)
BUS_PUBLISHED: Final = Counter(
    "sensorcast_bus_published_messages",
    "Messages of this node to other nodes, heard by somebody or not.",
    registry=REGISTRY,
)
BUS_HEARD: Final = Counter(
    "sensorcast_bus_heard_messages", "Messages of other nodes that were good.", registry=REGISTRY
)
BUS_IGNORED: Final = Counter(
    "sensorcast_bus_ignored_messages",
    "Messages that were not: foreign, forged, oversized, unknown, wrong_channel, replayed, stale, crowd.",
    ["reason"],
    registry=REGISTRY,
)
BUS_GAPS: Final = Counter(
    "sensorcast_bus_gaps",
    "Times that messages of an organization were missed: its latest readings were then read from the store.",
    registry=REGISTRY,
)
BUS_REPAIRS: Final = Counter(
    "sensorcast_bus_repairs",
    "Snapshots of an organization read from the store: done, failed.",
    ["outcome"],
    registry=REGISTRY,
)
BUS_REPAIRED_READINGS: Final = Counter(
    "sensorcast_bus_repaired_readings", "Readings that a snapshot brought and no message had.", registry=REGISTRY
)
CLUSTER_NODES: Final = Gauge("sensorcast_cluster_nodes", "Nodes that are heard, this one included.", registry=REGISTRY)
BUS_DROPPED: Final = Counter(
    "sensorcast_bus_dropped_messages",
    "Messages to other nodes that were given up because a queue was full.",
    registry=REGISTRY,
)

CONNECTIONS_HANDED_OVER: Final = Counter(
    "sensorcast_connections_handed_over",
    "Connections whose first request was of another worker's session, by outcome: taken, refused, dropped.",
    ["outcome"],
    registry=REGISTRY,
)
POLLS_PASSED_ON: Final = Counter(
    "sensorcast_polls_passed_on",
    "Later requests of another worker's session, by outcome: answered, unanswered.",
    ["outcome"],
    registry=REGISTRY,
)
WORKER_STARTS: Final = Gauge(
    "sensorcast_worker_starts", "How often this worker process was started, this time included.", registry=REGISTRY
)
WORKERS_ANSWERED: Final = Gauge(
    "sensorcast_workers_answered", "Worker processes whose metrics are in this answer.", registry=REGISTRY
)


def render() -> bytes:
    """Give all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)


def merge(pages: Mapping[int, bytes]) -> bytes:
    """Merge what `render` gave in several workers: by family, each sample with the label `worker`.

    How many pages there are is told once, without the label.
    """
    families: dict[bytes, list[bytes]] = {}
    for worker, page in sorted(pages.items()):
        label = b'worker="%d"' % worker
        family: list[bytes] = []
        for line in page.splitlines():
            if line.startswith(b"# HELP "):
                family = families.setdefault(line.split(b" ", 3)[2], [])
            if not line.startswith(b"#"):
                family.append(_labelled(line, label))
            elif line not in family:
                family.append(line)
    answered = families.get(_ANSWERED)
    if answered is not None:
        answered[:] = [*(line for line in answered if line.startswith(b"#")), b"%s %d" % (_ANSWERED, len(pages))]
    return b"\n".join(line for family in families.values() for line in family) + b"\n"


_ANSWERED: Final = b"sensorcast_workers_answered"


def _labelled(sample: bytes, label: bytes) -> bytes:
    """Put a label in front of those of a sample; no metric's name holds a brace or a space."""
    name, space, rest = sample.partition(b" ")
    if b"{" in name:
        name, _, rest = sample.partition(b"{")
        return b"%s{%s,%s" % (name, label, rest)
    return b"%s{%s}%s%s" % (name, label, space, rest)
