"""Many operations in random order, then the comparison of times, and what came of it all."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from sensorcast.verify.probe import Finding, Probe
from sensorcast.verify.tenant import Tenant

_TIMED: Final = 30
_TIME_RATIO_MAX: Final = 3.0
"""Medians of equal ways through the code differ by less, also on a busy machine; a look-up of data would show."""
_TIME_FLOOR_S: Final = 0.002


@dataclass(frozen=True)
class Report:
    """What a verification found. `leaks` empty and `operations` as asked: the organizations are apart."""

    operations: Counter[str]
    seen: dict[str, int]
    leaks: list[Finding]
    foreign_median_s: float
    unknown_median_s: float


async def verify(url: str, tenants: Sequence[Tenant], *, operations: int, seed: int) -> Report:
    """Do that many operations, chosen by `seed`. Raises httpx errors when the server cannot be reached."""
    chance = random.Random(seed)  # noqa: S311 - repeatable order, no secret
    done: Counter[str] = Counter()
    async with httpx.AsyncClient(timeout=30) as client:
        probe = Probe(url, client, tenants, chance)
        try:
            await probe.fill()
            for _ in range(operations):
                name = chance.choice(list(probe.operations))
                tenant, other = chance.sample(list(tenants), 2)
                await probe.operations[name](tenant, other)
                done[name] += 1
        finally:
            await probe.close()
        foreign_s, unknown_s = await _medians(url, client, tenants)
    leaks = list(dict.fromkeys(probe.findings))
    if max(foreign_s, unknown_s) > max(_TIME_FLOOR_S, _TIME_RATIO_MAX * min(foreign_s, unknown_s)):
        leaks.append(Finding("time", tenants[0].organization_id, "another's takes another time than what is unknown"))
    return Report(done, probe.seen, leaks, foreign_s, unknown_s)


async def _medians(url: str, client: httpx.AsyncClient, tenants: Sequence[Tenant]) -> tuple[float, float]:
    """Median times of asking for an organization of others, and for one that does not exist, taken in turns."""
    me, other = tenants[:2]
    durations_s: dict[str, list[float]] = {other.organization_id: [], "nobody-has-this-organization": []}
    for _ in range(_TIMED):
        for organization_id, kept in durations_s.items():
            started_s = time.perf_counter()
            await client.get(
                f"{url.rstrip('/')}/api/orgs/{organization_id}/units/{other.units[0]}/latest",
                headers={"Authorization": f"Bearer {me.token}"},
            )
            kept.append(time.perf_counter() - started_s)
    foreign_s, unknown_s = (statistics.median(kept) for kept in durations_s.values())
    return foreign_s, unknown_s
