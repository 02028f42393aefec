"""Claims about `simulate`: it reports what became of its readings, and ends well."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from tests.simulator.ingest_server import ingest_server


async def _start(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorcast", "simulate", *arguments),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.real_time
async def test_it_prints_what_became_of_the_readings() -> None:
    async with ingest_server() as server:
        process = await _start(
            *("--url", server.url, "--units", "5", "--rate", "25", "--for", "2s"), SENSORCAST_API_KEY="key"
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert f"offered={len(server.stored)} acknowledged={len(server.stored)} " in out.decode()
        assert 20 <= len(server.stored) <= 60


async def test_ctrl_c_is_a_normal_end() -> None:
    async with ingest_server() as server:
        process = await _start("--url", server.url, "--key", "key", "--units", "5", "--rate", "25")
        async with asyncio.timeout(30):
            while not server.stored:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")
    assert b"offered=" in out


async def test_a_server_that_is_not_ours_is_one_line() -> None:
    async with ingest_server() as server:
        process = await _start("--url", server.url + "/elsewhere", "--key", "key", "--for", "10s")
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert err.decode().startswith("sensorcast: ")
    assert err.count(b"\n") == 1
