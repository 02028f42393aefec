"""The channels of Node's Redis adapter, over connections supervised like those of the bus.

Owns how they are named: as the adapter names them, without our prefix, and listened to by pattern, never sharded. The
invariant: they share nothing with the bus, so trouble on one cannot hold up the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from sensorcast.cluster.redis import RedisBus
from sensorcast.cluster.redis_address import RedisAddress
from sensorcast.cluster.redis_session import PATTERNS
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings
from sensorcast.wire.redis_adapter import channel_of, channel_pattern

_log = structlog.get_logger(__name__)


class _AdapterBus(RedisBus):
    verbs = PATTERNS

    def _name(self, channel: str) -> bytes:
        return channel.encode()


class NodeAdapter:
    """Listens to what Node broadcasts in `namespace`, and broadcasts to Node. `heard` gets each message unchecked."""

    def __init__(
        self,
        redis_url: str,
        *,
        key: str,
        namespace: str,
        queue_max_bytes: int,
        silence_s: float,
        heard: Callable[[bytes], None],
    ) -> None:
        self._bus = _AdapterBus(
            RedisAddress(redis_url), prefix=key, queue_max_bytes=queue_max_bytes, silence_s=silence_s
        )
        self._key = key
        self._namespace = namespace
        self._heard = heard

    async def start(self) -> None:
        """Begin to connect; returns without waiting for a connection. End it with `stop`."""
        self._bus.listen(channel_pattern(self._key, self._namespace))
        await self._bus.start(self)

    async def stop(self) -> None:
        """Send what is waiting, for at most a second, and close."""
        await self._bus.stop()

    def publish(self, rooms: Sequence[str], message: bytes) -> None:
        """Send a message for the sockets in `rooms`; what cannot be sent is dropped and counted like on the bus."""
        self._bus.publish(channel_of(self._key, self._namespace, rooms), message)

    # What the bus tells

    def heard(self, _channel: str, message: bytes) -> None:
        """A broadcast of Node, or of ours."""
        self._heard(message)

    def listening(self, channel: str) -> None:
        """Nothing is missed from now on."""
        _log.info("node_adapter_listening", channel=channel)

    def deaf(self, reason: str) -> None:
        """Broadcasts may be missed: they are not kept anywhere, so nothing can be repaired."""
        _log.warning("node_adapter_deaf", reason=reason)


def open_adapter(settings: Settings, namespace: str, heard: Callable[[bytes], None]) -> NodeAdapter:
    """The adapter that these settings name. Raises `ConfigurationError` when they name no Redis."""
    if not settings.redis_url:
        raise ConfigurationError("node_exchange (--node-exchange, SENSORCAST_NODE_EXCHANGE) needs redis_url")
    return NodeAdapter(
        settings.redis_url,
        key=settings.node_exchange_key,
        namespace=namespace,
        queue_max_bytes=settings.bus_queue_max_bytes,
        silence_s=settings.bus_silence_s,
        heard=heard,
    )
