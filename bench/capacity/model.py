"""The capacity model: what a fleet needs, by the coefficients. docs/explanation/scaling.md has the same formulas."""

from __future__ import annotations

import math

import msgspec

FORWARDS_PER_S = 4
"""Messages of an organization and worker a second, at most: four per flush interval of one second."""
FULL = 0.6
"""Share of a core that is planned with: the rest is for peaks, reconnecting herds and the failure of a node."""
ROUNDS = 200
DAY_S = 86_400
CELL_WORKERS = 16


class Coefficients(msgspec.Struct, frozen=True, kw_only=True):
    """Measured; microseconds of processor time and bytes."""

    flush_us: float
    write_us: float
    byte_us: float
    event_bytes: float
    idle_us: float
    """Of a connection per second."""
    connection_kib: float
    intake_us: dict[int, float]
    """Per reading, stored in PostgreSQL and handed to the bus, by the readings of a request."""
    heard_us: float
    bus_bytes: float
    """Per reading."""
    redis_message_us: float
    redis_delivery_us: float
    redis_in_byte_us: float
    redis_out_byte_us: float
    database_us: dict[int, float]
    """Processor time of PostgreSQL per row, by the readings of a request."""
    log_bytes: float
    disk_bytes: float
    """Both per row."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Who is there. Organizations are alike, and readings and connections fall on workers by chance."""

    name: str
    connections: int = 1_000_000
    readings_per_s: int = 1_000_000
    organizations: int = 10_000
    readings_per_request: int = 100
    events_per_s: float
    """Batches a second that each connection gets."""
    cell_workers: int | None = None
    """Workers among which an organization stays; None: all."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says."""

    fleet: Fleet
    workers: int
    """Each with a core of its own, used to `FULL`."""
    shares: dict[str, float]
    """Cores in use, by what for."""
    heard_by: float
    """Other workers that hear a reading."""
    out_bytes_per_s: float
    memory_gib: float
    messages_per_s: float
    deliveries_per_s: float
    bus_in_bytes_per_s: float
    bus_out_bytes_per_s: float
    redis_cores: float
    database_cores: float
    log_bytes_per_s: float
    disk_bytes_per_day: float


def need(fleet: Fleet, c: Coefficients) -> Need:
    """Find the number of workers at which the work of each fits into its core."""
    workers = 1.0
    for _ in range(ROUNDS):  # more workers hear more: go half of the way each time
        workers = (workers + sum(_shares(fleet, c, workers).values()) / FULL) / 2
    workers = math.ceil(workers)
    heard_by, messages = _heard_by(fleet, workers), _messages_per_s(fleet, workers)
    bus_in = fleet.readings_per_s * c.bus_bytes
    redis_us = messages * (c.redis_message_us + heard_by * c.redis_delivery_us) + bus_in * (
        c.redis_in_byte_us + heard_by * c.redis_out_byte_us
    )
    return Need(
        fleet=fleet,
        workers=workers,
        shares=_shares(fleet, c, workers),
        heard_by=heard_by,
        out_bytes_per_s=fleet.connections * fleet.events_per_s * c.event_bytes,
        memory_gib=fleet.connections * c.connection_kib / 2**20,
        messages_per_s=messages,
        deliveries_per_s=messages * heard_by,
        bus_in_bytes_per_s=bus_in,
        bus_out_bytes_per_s=bus_in * heard_by,
        redis_cores=redis_us / 1e6,
        database_cores=fleet.readings_per_s * c.database_us[fleet.readings_per_request] / 1e6,
        log_bytes_per_s=fleet.readings_per_s * c.log_bytes,
        disk_bytes_per_day=fleet.readings_per_s * c.disk_bytes * DAY_S,
    )


def _shares(fleet: Fleet, c: Coefficients, workers: float) -> dict[str, float]:
    writes_per_s = 1 - math.exp(-fleet.events_per_s)  # a flush that has nothing for a connection writes nothing to it
    used_us = {
        "connections": fleet.connections * c.idle_us,
        "writes": fleet.connections * writes_per_s * c.write_us,
        "bytes": fleet.connections * fleet.events_per_s * c.event_bytes * c.byte_us,
        "intake": fleet.readings_per_s * c.intake_us[fleet.readings_per_request],
        "hearing": fleet.readings_per_s * _heard_by(fleet, workers) * c.heard_us,
        "flushes": workers * c.flush_us,
    }
    return {name: each / 1e6 for name, each in used_us.items()}


def _heard_by(fleet: Fleet, workers: float) -> float:
    """Other workers on which a reading's organization has a connection."""
    among = min(workers, fleet.cell_workers or workers)
    if among <= 1:
        return 0.0
    clients = fleet.connections / fleet.organizations
    return (among - 1) * (1 - (1 - 1 / among) ** clients)


def _messages_per_s(fleet: Fleet, workers: float) -> float:
    """Each worker sends one message for all readings of an organization that came in a quarter of the interval."""
    pairs = fleet.organizations * min(workers, fleet.cell_workers or workers)
    requests = fleet.readings_per_s / fleet.readings_per_request / pairs / FORWARDS_PER_S
    return pairs * FORWARDS_PER_S * (1 - math.exp(-requests))


FLEETS = (
    Fleet(name="A: a few units each, anywhere", events_per_s=2),
    Fleet(name="B: as A, in cells", events_per_s=2, cell_workers=CELL_WORKERS),
    Fleet(name="C: all units of the organization, in cells", events_per_s=100, cell_workers=CELL_WORKERS),
    Fleet(name="D: as B, one reading a request", events_per_s=2, cell_workers=CELL_WORKERS, readings_per_request=1),
)
