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

from sensorcast.verify.probe import UNKNOWN_UNIT, Finding, Probe
from sensorcast.verify.tenant import NOBODY, Tenant

_TIMED: Final = 30
_TIME_RATIO_MAX: Final = 3.0
"""Times of equal ways through the code differ by less, also on a busy machine; a look-up of data would show."""
_TIME_FLOOR_S: Final = 0.002


@dataclass(frozen=True)
class Timing:
    """How long one address takes for what is another's, and for what nobody has: the lowest tenth of many times.

    What else the machine does adds to times, so the low ones say most about the way through the code.
    """

    surface: str
    foreign_s: float
    unknown_s: float

    @property
    def tells_apart(self) -> bool:
        """Whether one could learn from the time that it exists."""
        low_s, high_s = sorted((self.foreign_s, self.unknown_s))
        return high_s > max(_TIME_FLOOR_S, _TIME_RATIO_MAX * low_s)


@dataclass(frozen=True)
class Report:
    """What a verification found. `leaks` empty and `operations` as asked: the organizations are apart."""

    operations: Counter[str]
    seen: dict[str, int]
    leaks: list[Finding]
    timings: list[Timing]


async def verify(urls: Sequence[str], tenants: Sequence[Tenant], *, operations: int, seed: int) -> Report:
    """Do that many operations, chosen by `seed`, on nodes that share their store and are joined by a bus.

    Raises httpx errors when they cannot be reached.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable order, no secret
    done: Counter[str] = Counter()
    async with httpx.AsyncClient(timeout=30) as client:
        probe = Probe(urls, client, tenants, chance)
        try:
            await probe.fill()
            for _ in range(operations):
                name = chance.choice(list(probe.operations))
                tenant, other = chance.sample(list(tenants), 2)
                await probe.operate(name, tenant, other)
                done[name] += 1
        finally:
            await probe.close()
        timings = [each for url in urls for each in await _timings(url.rstrip("/"), client, tenants)]
    leaks = list(dict.fromkeys(probe.findings))
    what = "the time tells another's from what is unknown"
    leaks += [Finding(each.surface, tenants[0].organization_id, what) for each in timings if each.tells_apart]
    return Report(done, probe.seen, leaks, timings)


async def _timings(url: str, client: httpx.AsyncClient, tenants: Sequence[Tenant]) -> list[Timing]:
    """Time another's organization and unit against those that do not exist."""
    me, other = tenants[:2]
    own_unit, secret_unit = other.units[-1], other.units[0]
    pairs = {
        "time of an organization": (f"{other.organization_id}/units", f"{NOBODY}/units"),
        "time of its unit": (f"{other.organization_id}/units/{own_unit}/latest", f"{NOBODY}/units/{own_unit}/latest"),
        "time of a unit": tuple(f"{me.organization_id}/units/{unit}/latest" for unit in (secret_unit, UNKNOWN_UNIT)),
        "time of a history": tuple(
            f"{me.organization_id}/units/{unit}/readings" for unit in (secret_unit, UNKNOWN_UNIT)
        ),
    }
    headers = {"Authorization": f"Bearer {me.token}"}
    timings = []
    for surface, paths in pairs.items():
        addresses = [f"{url}/api/orgs/{path}" for path in paths]
        timing = Timing(surface, *await _low_times_s(client, headers, addresses))
        if timing.tells_apart:  # chance may do that once
            timing = Timing(surface, *await _low_times_s(client, headers, addresses))
        timings.append(timing)
    return timings


async def _low_times_s(client: httpx.AsyncClient, headers: dict[str, str], addresses: Sequence[str]) -> list[float]:
    """Ask for the addresses in a random order, so that nothing periodic always meets the same one."""
    durations_s: dict[str, list[float]] = {address: [] for address in addresses}
    for _ in range(_TIMED):
        for address in random.sample(addresses, len(addresses)):
            started_s = time.perf_counter()
            await client.get(address, headers=headers)
            durations_s[address].append(time.perf_counter() - started_s)
    return [statistics.quantiles(kept, n=10)[0] for kept in durations_s.values()]
