"""Any operations of any organizations in any order, chosen and made small by hypothesis: nothing of others shows."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sensorcast.verify.probe import Probe
from tests.isolation.conftest import RunNodes
from tests.isolation.node import NAMES

OPERATIONS = tuple(Probe([""], None, [], random.Random(0)).operations)  # type: ignore[arg-type]


class Organizations(RuleBasedStateMachine):
    def __init__(self, run_nodes: RunNodes) -> None:
        super().__init__()
        self.run_nodes = run_nodes
        self.runner = asyncio.Runner()
        self.probe: Probe
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.ready, self.stop = asyncio.Event(), asyncio.Event()
        self.serving = asyncio.create_task(self._serve())
        waiting = asyncio.create_task(self.ready.wait())
        await asyncio.wait({self.serving, waiting}, return_when=asyncio.FIRST_COMPLETED)

    async def _serve(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with self.run_nodes(Path(folder)) as (urls, self.tenants), httpx.AsyncClient(timeout=30) as client:
                self.probe = Probe(urls, client, self.tenants, random.Random(0))
                await self.probe.fill()
                self.ready.set()
                await self.stop.wait()
                await self.probe.close()

    @rule(
        name=st.sampled_from(OPERATIONS),
        pair=st.permutations(range(len(NAMES))),
        choices=st.integers(0, 999),
    )
    def operate(self, name: str, pair: list[int], choices: int) -> None:
        self.probe.choose_by(random.Random(choices))
        self.runner.run(self.probe.operate(name, self.tenants[pair[0]], self.tenants[pair[1]]))

    @invariant()
    def nothing_of_others_shows(self) -> None:
        assert self.probe.findings == []

    def teardown(self) -> None:
        async def end() -> None:
            self.stop.set()
            await self.serving

        self.runner.run(end())
        self.runner.close()
        assert self.probe.findings == []


def test_whatever_organizations_do_nothing_of_others_shows(run_nodes: RunNodes) -> None:
    run_state_machine_as_test(
        lambda: Organizations(run_nodes),
        settings=settings(
            max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
