"""The bus of the tests keeps the contract as long as no fault is asked for."""

from __future__ import annotations

import pytest

from tests.contracts.bus import BusContract, NewBus
from tests.support.air import Air


class TestEchoing(BusContract):
    @pytest.fixture
    def new_bus(self) -> NewBus:
        air = Air()
        return lambda: air.bus(echoes=True)


class TestSilent(BusContract):
    @pytest.fixture
    def new_bus(self) -> NewBus:
        air = Air()
        return lambda: air.bus(echoes=False)
