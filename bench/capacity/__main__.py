"""The coefficients of the capacity model, measured on the product, and what the model says for a very large fleet.

Each server has the first core; clients, Redis and PostgreSQL have the second. Prints tables in Markdown, as they stand
in docs/explanation/scaling.md, and writes nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from bench.capacity.bus import Heard, Redis, measure_heard, measure_redis
from bench.capacity.delivery import Delivery, measure_delivery
from bench.capacity.idle import Idle, measure_idle
from bench.capacity.intake import Intake, bare_postgres_rows_per_s, measure_intake
from bench.capacity.model import FLEETS, FULL, Coefficients, Need, need
from bench.machine import describe
from bench.servers import CLIENT_CORE

Row = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measured window")
    chosen = parser.parse_args()
    print(__doc__)
    packages = ("sensorcast", "uvicorn", "uvloop", "apsw", "asyncpg", "redis")
    print(describe(*packages, programs=("redis-server", "postgres", "cc")), flush=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    delivery = measure_delivery(chosen.seconds)
    print(f"\n{points(delivery)}", flush=True)
    idle, intake = measure_idle(rounds=max(1, round(chosen.seconds / 5))), measure_intake()
    heard, redis, bare = measure_heard(chosen.seconds), measure_redis(), bare_postgres_rows_per_s()
    print(f"\n| Coefficient | Value |\n| --- | --- |\n{table(rows(delivery, idle, intake, heard, redis, bare))}")
    measured = coefficients(delivery, idle, intake, heard, redis)
    print(f"\n{answers([need(each, measured) for each in FLEETS])}")


def points(delivery: Delivery) -> str:
    """What each event costs, for every combination."""
    units = sorted({each.units for each in delivery.points})
    lines = ["| CPU per event, us | " + " | ".join(f"{each} units" for each in units) + " |"]
    lines.append("| --- |" + " --- |" * len(units))
    for clients in sorted({each.clients for each in delivery.points}):
        own = {each.units: each.cpu_us_per_event for each in delivery.points if each.clients == clients}
        lines.append(f"| {clients:,} clients | " + " | ".join(f"{own[each]:.2f}" for each in units) + " |")
    return "\n".join(lines)


def rows(
    delivery: Delivery, idle: Idle, intake: list[Intake], heard: Heard, redis: Redis, bare: float
) -> Iterator[Row]:
    """Each coefficient with its unit."""
    yield "Flush, by itself (its request and commit included)", f"{delivery.flush_us / 1e3:.2f} ms"
    yield "Reading of a flush: taken in with others, encoded once", f"{delivery.reading_us:.1f} us"
    yield "Write to a connection", f"{delivery.write_us:.2f} us"
    yield "Byte written", f"{delivery.byte_us * 1e3:.3f} ns"
    yield "Event", f"{delivery.bytes_per_event:.0f} bytes"
    yield "Largest error of these four together", f"{delivery.worst_error():.0%}"
    yield "Connection, idle: memory", f"{idle.rss_kib:.1f} KiB"
    yield "Connection, idle: CPU", f"{idle.cpu_us_per_s:.2f} us/s ({idle.heartbeat_us:.1f} us a heartbeat)"
    yield "Connection, made: CPU", f"{idle.connect_us:.0f} us"
    for each in intake:
        name = f"Reading taken in, {each.readings_per_request} a request, {each.store}"
        yield name, f"{each.cpu_us:.1f} us; {each.readings_per_s:,.0f} readings/s on this machine"
    yield "Reading on the bus", f"{heard.bytes_per_reading:.0f} bytes"
    yield "Reading heard from the bus", f"{heard.reading_us:.1f} us"
    yield "Redis: message published", f"{redis.message_us:.2f} us"
    yield "Redis: message to one subscriber", f"{redis.delivery_us:.2f} us"
    yield "Redis: byte in, byte out", f"{redis.in_byte_us * 1e3:.3f} ns, {redis.out_byte_us * 1e3:.3f} ns"
    for each in intake:
        if each.store == "PostgreSQL":
            yield f"PostgreSQL: row, {each.readings_per_request} a request", f"{each.database_us:.1f} us"
    last = intake[-1]
    yield "PostgreSQL: row, in the log and on disk", f"{last.log_bytes:.0f} bytes, {last.disk_bytes:.0f} bytes"
    yield "PostgreSQL: rows a second, one session, COPY alone", f"{bare:,.0f}"


def table(pairs: Iterator[Row]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in pairs)


def coefficients(delivery: Delivery, idle: Idle, intake: list[Intake], heard: Heard, redis: Redis) -> Coefficients:
    """What the model takes. On the bus costs as much more with PostgreSQL as it does with SQLite."""
    large = {each.store: each for each in intake if each.readings_per_request == 100}
    postgres = {each.readings_per_request: each for each in intake if each.store == "PostgreSQL"}
    forwarding_us = max(0.0, large["SQLite, Redis"].cpu_us - large["SQLite"].cpu_us)
    return Coefficients(
        flush_us=delivery.flush_us,
        write_us=delivery.write_us,
        byte_us=delivery.byte_us,
        event_bytes=delivery.bytes_per_event,
        idle_us=idle.cpu_us_per_s,
        connection_kib=idle.rss_kib,
        intake_us={size: each.cpu_us + forwarding_us for size, each in postgres.items()},
        heard_us=heard.reading_us,
        bus_bytes=heard.bytes_per_reading,
        redis_message_us=redis.message_us,
        redis_delivery_us=redis.delivery_us,
        redis_in_byte_us=redis.in_byte_us,
        redis_out_byte_us=redis.out_byte_us,
        database_us={size: each.database_us for size, each in postgres.items()},
        log_bytes=postgres[100].log_bytes,
        disk_bytes=postgres[100].disk_bytes,
    )


def answers(needs: list[Need]) -> str:
    """One column for each fleet."""
    cells: list[tuple[str, list[str]]] = [
        (f"Workers, a core each, {FULL:.0%} full", [f"{each.workers:,}" for each in needs]),
        *((f"cores for {name}", [f"{each.shares[name]:,.1f}" for each in needs]) for name in needs[0].shares),
        ("Memory of connections", [f"{each.memory_gib:.1f} GiB" for each in needs]),
        ("To clients", [f"{each.out_bytes_per_s / 1e9:.1f} GB/s" for each in needs]),
        ("Workers that hear a reading", [f"{each.heard_by:.1f}" for each in needs]),
        ("Redis: messages published", [f"{each.messages_per_s:,.0f}/s" for each in needs]),
        ("Redis: messages delivered", [f"{each.deliveries_per_s:,.0f}/s" for each in needs]),
        ("Redis: in", [f"{each.bus_in_bytes_per_s / 1e9:.2f} GB/s" for each in needs]),
        ("Redis: out", [f"{each.bus_out_bytes_per_s / 1e9:.1f} GB/s" for each in needs]),
        ("Redis: cores in use", [f"{each.redis_cores:.1f}" for each in needs]),
        ("PostgreSQL: cores in use", [f"{each.database_cores:.1f}" for each in needs]),
        ("PostgreSQL: log", [f"{each.log_bytes_per_s / 1e9:.2f} GB/s" for each in needs]),
        ("PostgreSQL: disk", [f"{each.disk_bytes_per_day / 1e12:.0f} TB a day" for each in needs]),
    ]
    head = "| | " + " | ".join(each.fleet.name for each in needs) + " |\n| --- |" + " --- |" * len(needs)
    return "\n".join([head, *(f"| {name} | " + " | ".join(values) + " |" for name, values in cells)])


if __name__ == "__main__":
    sys.exit(main())
