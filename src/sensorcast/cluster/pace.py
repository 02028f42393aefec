"""When readings and beats leave a node, and how long readings wait for those of other nodes.

Owns these times. The invariant: what one node takes in is with the others before they flush what came in beside it, and
nothing waits for a whole flush interval.
"""

from __future__ import annotations

from typing import Final

BEAT_S: Final = 1.0
FORWARDS_PER_FLUSH: Final = 4
"""Messages of an organization per flush interval: what one node takes in reaches a flush of another within 1.25."""
SLACK_PER_FLUSH: Final = 0.15
SLACK_MIN_S: Final = 0.1
"""How long a message may be under way, and a gateway's delivery may differ from another's, without a late reading."""
HOLD_BACK_MAX_PER_FLUSH: Final = 0.9


def forward_s(flush_interval_s: float) -> float:
    """How long a reading waits, at most, for the message to the other nodes."""
    return min(flush_interval_s / FORWARDS_PER_FLUSH, BEAT_S)


def hold_back_s(flush_interval_s: float) -> float:
    """How long readings of a unit wait for those that other nodes took in at the same time; less than an interval."""
    slack_s = max(flush_interval_s * SLACK_PER_FLUSH, SLACK_MIN_S)
    return min(forward_s(flush_interval_s) + slack_s, flush_interval_s * HOLD_BACK_MAX_PER_FLUSH)
