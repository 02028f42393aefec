"""The settings table: every knob once, with its default, its bounds and the reason for both.

Owns names and values; nobody else reads the environment. A setting `flush_interval_ms` is the flag
`--flush-interval-ms`, then the variable `SENSORCAST_FLUSH_INTERVAL_MS`, then the default below. The reference page
`docs/reference/settings.md` is generated from this table. The invariant: a `Settings` value is complete and in bounds.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sensorcast.errors import ConfigurationError

ENVIRONMENT_PREFIX: Final = "SENSORCAST_"
_KIB: Final = 1024
_MIB: Final = 1024 * 1024


def _setting(
    default: Any, doc: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one server, in bounds. Build with `load`, or directly in tests."""

    # Where to listen and where to keep data
    host: str = _setting("127.0.0.1", "Address to listen on; `0.0.0.0` for every interface.")
    port: int = _setting(8080, "TCP port to listen on; 0 takes a free one.", low=0, high=65_535)
    data: str = _setting("./sensorcast-data", "Folder of the SQLite database and the generated JWT secret.")
    workers: int = _setting(
        1, "Processes that share the port; the number of cores is the most that is of use.", low=1, high=64
    )
    database_url: str = _setting("", "PostgreSQL address, `postgresql://user@host/name`; empty: SQLite in `data`.")
    log_level: str = _setting(
        "info",
        "Least severe log line written: debug, info, warning or error.",
        choices=("debug", "info", "warning", "error"),
    )

    # Streaming
    flush_interval_ms: int = _setting(1_000, "Time between two batches of a unit.", low=10, high=60_000)
    latest_cache_units: int = _setting(
        200_000,
        "Units whose latest reading is kept in memory; the longest unused ones leave first.",
        low=1,
        high=100_000_000,
    )
    buffer_max_readings: int = _setting(
        100_000, "Readings waiting for the next flush; beyond it the organizations with most lose their oldest.", low=1
    )
    late_per_flush: int = _setting(
        2_000, "Late readings (older than their unit's latest) sent per flush; a backfill is spread out.", low=1
    )
    batch_max_bytes: int = _setting(
        256 * _KIB, "Largest batch event; a larger one is split.", low=4 * _KIB, high=16 * _MIB
    )

    # Identity
    jwt_secret: str = _setting("", "HS256 secret, at least 32 bytes; empty: generated and kept in the data folder.")
    jwt_issuer: str = _setting("", "Required `iss` of a token; empty: not checked.")
    jwt_audience: str = _setting("", "Required `aud` of a token; empty: not checked.")
    jwt_jwks: str = _setting(
        "", "File or https URL of the JWK Set of an outside identity provider, for tokens with a `kid`; empty: none."
    )
    jwt_jwks_refresh_s: float = _setting(300.0, "Time between two looks at `jwt_jwks`.", low=30, high=86_400)
    jwt_leeway_s: int = _setting(30, "Clock difference tolerated in `exp`, `nbf` and `iat`.", low=0, high=300)
    jwt_max_bytes: int = _setting(8 * _KIB, "Longest token looked at.", low=256, high=64 * _KIB)
    key_cache_s: float = _setting(
        5.0, "How long a looked-up API key is trusted; revocation acts within it.", low=0, high=5
    )
    revocation_poll_s: float = _setting(
        2.0, "Time between two looks for what another process or node has revoked.", low=0.05, high=5.0
    )
    bad_credentials_per_s: float = _setting(
        1.0, "Sustained credentials a second from one address that may be wrong; beyond it 429.", low=0.001
    )
    bad_credentials_burst: int = _setting(60, "Wrong credentials one address may send at once.", low=1)

    # Shares: what one organization may take of this node
    organization_requests_per_s: float = _setting(500.0, "Sustained HTTP requests a second.", low=0.001)
    organization_requests_burst: int = _setting(2_000, "HTTP requests at once.", low=1)
    organization_readings_per_s: float = _setting(50_000.0, "Sustained readings a second.", low=0.001)
    organization_readings_burst: int = _setting(200_000, "Readings at once; never below `ingest_max_readings`.", low=1)
    organization_subscriptions: int = _setting(200_000, "Rooms its sockets may be in, all together.", low=1)
    organization_outbound_bytes_per_s: float = _setting(
        512.0 * _MIB,
        "Sustained bytes of batches a second; a delivery counts 8 KiB more for its own cost. Beyond it flushes wait.",
        low=_KIB,
    )

    # Registry
    auto_register: bool = _setting(
        True, "Register units and devices with their first reading; false: readings of unknown units are rejected."
    )
    registry_cache_s: float = _setting(
        5.0, "How long what the registry says is trusted; a change acts on every node within it.", low=0.05, high=3_600
    )
    registry_cache_entries: int = _setting(
        300_000, "Units and devices remembered; beyond it the organizations with most are forgotten.", low=1
    )
    registry_sites_max: int = _setting(10_000, "Sites of one organization in the registry.", low=1)
    registry_units_max: int = _setting(100_000, "Units of one organization in the registry.", low=1)
    registry_devices_max: int = _setting(200_000, "Devices of one organization in the registry.", low=1)

    # Ingestion
    ingest_body_max_bytes: int = _setting(1 * _MIB, "Largest ingest body on the wire.", low=_KIB)
    ingest_inflated_max_bytes: int = _setting(8 * _MIB, "Largest ingest body after gzip.", low=_KIB)
    ingest_inflate_max_ratio: int = _setting(20, "Largest ratio of inflated to compressed bytes.", low=1)
    ingest_max_readings: int = _setting(10_000, "Most readings in one request.", low=1)
    ingest_requests_per_s: float = _setting(100.0, "Sustained ingest requests a second of one API key.", low=0.001)
    ingest_burst_requests: int = _setting(200, "Ingest requests one API key may send at once.", low=1)
    ingest_past_window_s: int = _setting(30 * 86_400, "Oldest `recordedAt` accepted, before now.", low=0)
    ingest_future_window_s: int = _setting(300, "Newest `recordedAt` accepted, after now.", low=0)
    json_max_depth: int = _setting(8, "Deepest nesting of JSON from outside.", low=2, high=64)
    queue_max_readings: int = _setting(20_000, "Readings accepted and waiting for the store.", low=1)
    queue_max_wait_s: float = _setting(
        1.0, "How long the first of the readings that wait for the store may wait; then no more are taken.", low=0.01
    )
    queue_max_bytes: int = _setting(64 * _MIB, "Bytes of readings accepted and waiting for the store.", low=_KIB)
    retention_days: int = _setting(
        0, "Age after which readings are deleted; 0 keeps them for ever.", low=0, high=36_500
    )
    store_busy_timeout_ms: int = _setting(
        1_000, "Longest wait for another process that holds the database locked.", low=0, high=60_000
    )

    # HTTP
    header_max_bytes: int = _setting(16 * _KIB, "Largest request head.", low=_KIB)
    header_max_count: int = _setting(100, "Most header lines of a request.", low=8)
    header_timeout_s: float = _setting(10.0, "Time for a request head to arrive.", low=0.1)
    body_timeout_s: float = _setting(60.0, "Time for a request body to arrive.", low=0.1)
    shutdown_timeout_s: float = _setting(30.0, "Longest wait for work in flight when stopping.", low=0.1)
    drain_s: float = _setting(
        0.0,
        "How long everything goes on after SIGTERM while `/readyz` says 503, so that balancers look elsewhere first.",
        low=0,
        high=3_600,
    )

    # Socket.IO
    ping_interval_ms: int = _setting(25_000, "Engine.IO heartbeat interval.", low=50)
    ping_timeout_ms: int = _setting(20_000, "Time a client has to answer a heartbeat.", low=50)
    max_payload_bytes: int = _setting(100_000, "Largest inbound message or polling body.", low=_KIB)
    connect_timeout_ms: int = _setting(10_000, "Time from opening to the Socket.IO CONNECT.", low=50)
    upgrade_timeout_ms: int = _setting(10_000, "Time for an upgrade from polling to websocket.", low=50)
    client_events_per_s: float = _setting(20.0, "Sustained events a second from one socket.", low=0.1)
    client_events_burst: int = _setting(50, "Events one socket may send at once.", low=1)
    rooms_per_socket: int = _setting(128, "Rooms one socket may be in.", low=1)
    attachments_max: int = _setting(0, "Binary attachments of one inbound packet.", low=0, high=10)
    allowed_origins: str = _setting(
        "", "Origins besides our own that may connect, comma-separated; `*` for all. No Origin header is allowed."
    )
    permessage_deflate: bool = _setting(False, "Offer outbound compression, each frame compressed once per room.")
    outbound_soft_bytes: int = _setting(
        256 * _KIB, "Unsent bytes of a connection above which batches are conflated to the latest per unit.", low=_KIB
    )
    outbound_hard_bytes: int = _setting(1 * _MIB, "Unsent bytes at which a connection is cut.", low=_KIB)
    outbound_stall_s: float = _setting(10.0, "Time without progress after which a blocked connection is cut.", low=0.1)
    outbound_total_max_bytes: int = _setting(
        256 * _MIB, "Unsent bytes of all connections together; beyond it those who are owed most are cut.", low=_KIB
    )
    connections_max: int = _setting(
        20_000, "Connections of this node; also never above 80 % of the file-descriptor limit.", low=1
    )
    connections_per_organization: int = _setting(5_000, "Connections of one organization on this node.", low=1)
    connections_per_address: int = _setting(
        5_000, "TCP connections of one address (IPv6: /64) to this process; `trusted_proxies` are not capped.", low=1
    )
    http_connections_max: int = _setting(
        10_000, "TCP connections of this process that are no WebSocket: HTTP, polling, and silent ones.", low=1
    )
    trusted_proxies: str = _setting(
        "127.0.0.0/8,::1",
        "Addresses and networks, comma-separated, of proxies whose `X-Forwarded-For` is believed.",
    )
    handshakes_per_s: float = _setting(300.0, "New connections a second on this node; beyond it 503.", low=1)

    # Several nodes
    redis_url: str = _setting(
        "", "Redis that connects the nodes, `redis://` or `rediss://user:password@host:port/0`; empty: this one alone."
    )
    redis_prefix: str = _setting("sensorcast", "What the names of our channels in Redis begin with.")
    cluster_secret: str = _setting(
        "", "Secret that proves messages between nodes, at least 32 bytes; empty: made from the JWT secret."
    )
    node_name: str = _setting("", "What this node is called in lists of nodes; empty: host name and process id.")
    bus_silence_s: float = _setting(
        3.0, "Silence on the bus after which a node holds itself for deaf and connects anew.", low=0.5, high=60
    )
    bus_message_age_s: float = _setting(
        60.0,
        "Age up to which the first message of another node is believed; clocks of nodes may differ by as much.",
        low=5,
        high=86_400,
    )
    bus_queue_max_bytes: int = _setting(
        16 * _MIB, "Bytes that wait to be sent to another node; what comes on top is dropped and repaired.", low=_MIB
    )
    node_exchange: bool = _setting(
        False, "Exchange broadcasts with Node Socket.IO servers that use the Redis adapter in the same Redis."
    )
    node_exchange_key: str = _setting("socket.io", "Key of that adapter: what its channels begin with.")


_ASCENDING: Final = (("outbound_soft_bytes", "outbound_hard_bytes"),)
"""Pairs of settings, the first of which has no effect above the second: nothing would be conflated before the cut."""


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Settings)


def load(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Build the settings from given flags, then `SENSORCAST_*` variables, then defaults.

    Flags whose value is None count as not given. Raises `ConfigurationError` naming the setting and its bounds.
    """
    values: dict[str, Any] = {}
    for row in dataclasses.fields(Settings):
        given = flags.get(row.name)
        if given is None:
            given = environ.get(ENVIRONMENT_PREFIX + row.name.upper())
        if given is not None:
            values[row.name] = _checked(row, given)
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    for lower, upper in _ASCENDING:
        low, high = getattr(settings, lower), getattr(settings, upper)
        if low > high:
            raise ConfigurationError(f"{_names(lower)} must be at most {_names(upper)}: {low} is more than {high}")


def _checked(row: dataclasses.Field[Any], given: Any) -> Any:
    value = _converted(row.name, _types()[row.name], given)
    if isinstance(value, float) and not math.isfinite(value):  # NaN is neither below nor above any bound
        raise ConfigurationError(f"{_names(row.name)} must be a finite number, not {value}")
    choices = row.metadata["choices"]
    if choices and value not in choices:
        raise ConfigurationError(f"{_names(row.name)} must be one of {', '.join(choices)}, not {value!r}")
    low, high = row.metadata["low"], row.metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
        raise ConfigurationError(f"{_names(row.name)} must be {bounds}, not {value}")
    return value


def _converted(name: str, kind: type, given: Any) -> Any:
    if kind is bool and isinstance(given, str):
        if given.lower() in {"1", "true", "yes", "on"}:
            return True
        if given.lower() in {"0", "false", "no", "off", ""}:
            return False
        raise ConfigurationError(f"{_names(name)} must be true or false, not {given!r}")
    if isinstance(given, str) and not is_text(given):
        raise ConfigurationError(f"{_names(name)} must be UTF-8")
    try:
        return kind(given)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{_names(name)} must be a {kind.__name__}, not {given!r}") from None


def is_text(given: str) -> bool:
    """Tell whether an argument or a variable was UTF-8: Python takes other bytes for halves of characters."""
    return not any("\ud800" <= each <= "\udfff" for each in given)


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Give the `SENSORCAST_*` variables that are no settings: mostly names that were mistyped."""
    known = {ENVIRONMENT_PREFIX + row.name.upper() for row in dataclasses.fields(Settings)}
    return sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX) and name not in known)


def _names(name: str) -> str:
    return f"--{name.replace('_', '-')} ({ENVIRONMENT_PREFIX}{name.upper()})"
