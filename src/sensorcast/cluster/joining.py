"""Which bus a node takes, and by what it is known there: the settings of the cluster, made into its parts.

Owns that choice alone. The invariant: with the same settings every node arrives at the same channels and the same key;
no two processes are ever taken for one.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final

from sensorcast.cluster import Bus
from sensorcast.cluster.local import LocalBus
from sensorcast.cluster.nodes import Node
from sensorcast.cluster.redis import RedisBus
from sensorcast.cluster.redis_address import RedisAddress
from sensorcast.cluster.worker import Worker
from sensorcast.settings import Settings
from sensorcast.wire.bus import BusCodec, derive_key

NAME_MAX: Final = 100
"""Longest name of a node: it is sent every second."""


def open_bus(settings: Settings, worker: Worker) -> Bus:
    """The bus these settings name, not yet started. Raises `ConfigurationError`."""
    if settings.redis_url:
        return RedisBus(
            RedisAddress(settings.redis_url),
            prefix=settings.redis_prefix,
            queue_max_bytes=settings.bus_queue_max_bytes,
            silence_s=settings.bus_silence_s,
        )
    return LocalBus(worker.folder, worker.index, worker.count, queue_max_bytes=settings.bus_queue_max_bytes)


def own_node(settings: Settings, worker: Worker, now_us: int) -> Node:
    """What this process is called, and by what it is told apart from all others."""
    name = settings.node_name or f"{socket.gethostname()}:{os.getpid()}"
    if worker.count > 1:
        name = f"{name}/{worker.index}"
    return Node(name=name[:NAME_MAX], origin=secrets.token_hex(8), since_us=now_us, is_self=True)


def bus_codec(settings: Settings, secret: bytes) -> BusCodec:
    """What makes and checks the messages of the cluster that has this `secret`."""
    return BusCodec(derive_key(secret, settings.redis_prefix))
