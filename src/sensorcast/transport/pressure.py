"""What all connections together have not sent yet: looked at every second, bounded, the slowest cut first.

Owns the node's bound on outbound memory, above the bounds of each connection (`backlog`). The invariant: between two
looks the sum can grow by what a second brings, and after each it is within `outbound_total_max_bytes`. It is a walk
over those who owe something instead of a sum kept up to date: a fleet that reads costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sensorcast.metrics import CONNECTIONS_SLOW, OUTBOUND_UNSENT_BYTES

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

LOOK_EVERY_S: Final = 1.0


class OutboundPressure:
    """Watches the connections of one endpoint; an entry of its timer wheel."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._max_bytes = endpoint.limits.outbound_total_max_bytes

    def due(self, now_s: float) -> float:
        """Called by the wheel: take the sum, and cut those who are owed most until it is within the bound."""
        total_bytes = slow = 0
        for carrier in self._endpoint.owing:
            total_bytes += carrier.unsent_bytes
            slow += not carrier.writable
        CONNECTIONS_SLOW.set(slow)
        if total_bytes > self._max_bytes:
            total_bytes = self._shed(total_bytes)
        OUTBOUND_UNSENT_BYTES.set(total_bytes)
        return now_s + LOOK_EVERY_S

    def _shed(self, total_bytes: int) -> int:
        """Cut those who are owed most, until the rest is within the bound; give the rest."""
        owed = [(carrier.unsent_bytes, carrier) for carrier in self._endpoint.owing]
        for size, carrier in sorted(owed, key=lambda each: each[0], reverse=True):
            carrier.cut("total")
            total_bytes -= size
            if total_bytes <= self._max_bytes:
                break
        return total_bytes
